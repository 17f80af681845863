/* estate.c: what moves beside connections: counters, refusals, nodes' states, operators' orders */
#include "config.h"

#include "daemon/estate.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/tlv.h"
#include "daemon/accepted.h"
#include "daemon/ctl_env.h"
#include "daemon/drainer.h"
#include "daemon/loglevel.h"
#include "daemon/service.h"
#include "daemon/takemsg.h"
#include "nodes/inherit.h"
#include "nodes/node.h"
#include "nodes/traffic.h"
#include "policy/policy.h"
#include "proxy/worker.h"
#include "state/inherit.h"
#include "state/keeper.h"
#include "stats/inherit.h"
#include "stats/stats.h"

#include <stdlib.h>
#include <string.h>

/* A room's record; more than this is none. */
#define RECORD_MAX_BYTES (16U << 20)
/* Of what there may be more than that: claims and exceptions. Read when there are so many bytes. */
#define SOME_AT_ONCE (64U << 10)

/* Whose record it is: never used again for something else. */
enum estate_room {
	ESTATE_STATS = 1, ESTATE_TRAFFIC, ESTATE_NODES, ESTATE_REFUSALS, ESTATE_DRAINS,
	ESTATE_LEVEL, ESTATE_MAP, ESTATE_CLAIMS, ESTATE_ORDERS,
	ESTATE_EXCEPTIONS, ESTATE_HOMES, ESTATE_ACCEPTED, ESTATE_ROOMS,
};

struct estate {
	const struct ctl_env *env;
	struct stats told;
	struct traffic sum, traffic_told;
	struct inherit *claims;		/* of the process before this one */
	/* What has come of each room's record. */
	struct {
		uint8_t *bytes;
		size_t len, cap;
		bool bad;		/* to its end */
	} in[ESTATE_ROOMS];
};

struct estate *
estate_new(const struct ctl_env *env)
{
	struct estate *e = calloc(1, sizeof(*e));

	if (e != NULL)
		e->env = env;
	return e;
}

void
estate_free(struct estate **ep)
{
	struct estate *e = *ep;

	if (e == NULL)
		return;
	if (e->claims != NULL)
		inherit_free(&e->claims, e->env->status->policy->pin_linger);
	for (size_t i = 0; i < ESTATE_ROOMS; i++)
		free(e->in[i].bytes);
	free(e);
	*ep = NULL;
}

static void
write_stats(struct estate *e, struct tlv_out *o)
{
	struct stats sum = { .count = { 0 } };

	for (size_t i = 0; i < e->env->nworkers; i++)
		stats_sum(&sum, &e->env->workers[i]->stats);
	stats_sum(&sum, e->env->stats);
	stats_write(o, &sum, &e->told);
}

static void
write_traffic(struct estate *e, struct tlv_out *o)
{
	for (unsigned i = 0; i < nodes_names(e->env->nodes); i++) {
		uint64_t bytes[TRAFFIC_WAYS];

		workers_moved(e->env->workers, e->env->nworkers, i, bytes);
		nodes_moved_before(e->env->nodes, i, bytes);
		for (unsigned way = 0; way < TRAFFIC_WAYS; way++)
			e->sum.bytes[i][way] = bytes[way];
	}
	traffic_write(o, e->env->nodes, &e->sum, &e->traffic_told);
}

static void
write_room(struct estate *e, enum estate_room room, bool all, struct tlv_out *o)
{
	const uint64_t now = clock_ms();

	switch (room) {
	case ESTATE_STATS:
		write_stats(e, o);
		break;
	case ESTATE_TRAFFIC:
		write_traffic(e, o);
		break;
	case ESTATE_NODES:
		nodes_write(o, e->env->nodes, now, all);
		break;
	case ESTATE_REFUSALS:
		if (all && e->env->refused != NULL)
			refused_write(o, e->env->refused, now);
		break;
	case ESTATE_DRAINS:
		if (all)
			drainer_write(o, e->env->drainer, now);
		break;
	case ESTATE_LEVEL:
		if (all)
			loglevel_write(o, e->env->loglevel, now);
		break;
	case ESTATE_MAP:
		if (all && e->env->shared != NULL)
			shared_write(o, e->env->shared);
		break;
	case ESTATE_CLAIMS:
		claims_write(o, e->env->claims, all);
		break;
	case ESTATE_ORDERS:
		if (all && e->env->keeper != NULL)
			keeper_write_drains(e->env->keeper, o);
		break;
	case ESTATE_EXCEPTIONS:
		if (all && e->env->shared != NULL)
			shared_write_exceptions(o, e->env->shared);
		break;
	case ESTATE_HOMES:
		if (all && e->env->write_homes != NULL)
			e->env->write_homes(e->env->arg, o);
		break;
	case ESTATE_ACCEPTED:
		if (all)
			accepted_write(o, e->env);
		break;
	case ESTATE_ROOMS:
		break;
	}
}

struct telling {
	int to;
	uint64_t until_ms, fed_ms;
};

/* Was it in time? As long as it is, a watchdog knows that this process is at work. */
static bool
in_time(struct telling *t)
{
	const uint64_t now = clock_ms();

	if (now - t->fed_ms >= 1000) {
		service_works();
		t->fed_ms = now;
	}
	return now <= t->until_ms;
}

/* In pieces, of which the last one is not full. */
static bool
send_record(struct telling *t, enum estate_room room, const struct tlv_out *o)
{
	struct takemsg m = { .kind = TAKE_STATE, .what = (uint8_t)room };
	size_t at = 0;

	do {
		m.number = o->len - at < TAKE_PIECE ? o->len - at : TAKE_PIECE;
		memset(m.piece, 0, sizeof(m.piece));
		if (m.number > 0)
			memcpy(m.piece, o->data + at, m.number);
		at += m.number;
		if (!takemsg_send(t->to, &m, -1) || !in_time(t))
			return false;
	} while (m.number == TAKE_PIECE);
	return true;
}

bool
estate_send(struct estate *e, int to, bool all)
{
	const uint64_t now = clock_ms();
	struct telling t = { .to = to, .until_ms = now + TAKE_TELL_MS, .fed_ms = now };
	bool heard = true;

	if (all) {
		memset(&e->told, 0, sizeof(e->told));
		memset(&e->traffic_told, 0, sizeof(e->traffic_told));
	}
	for (int room = ESTATE_STATS; heard && room < ESTATE_ROOMS; room++) {
		struct tlv_out o = { .len = 0 };

		write_room(e, (enum estate_room)room, all, &o);
		t.until_ms += o.len / TAKE_TELL_BYTES;
		/* That it lives on none is news as well. */
		if (!o.bad && (o.len > 0 || room == ESTATE_CLAIMS))
			heard = send_record(&t, (enum estate_room)room, &o);
		tlv_out_fini(&o);
	}
	return heard;
}

static int
read_claims(struct estate *e, const uint8_t *p, size_t n)
{
	if (e->claims == NULL)
		e->claims = inherit_new(e->env->claims);
	return e->claims == NULL ? -1 : inherit_read(e->claims, p, n);
}

static int
read_exceptions(struct estate *e, const uint8_t *p, size_t n)
{
	return e->env->shared == NULL ? 0 : shared_read_exceptions(e->env->shared, p, n);
}

/* Those that it still lives on are held here, too; those that it no longer names linger. */
static int
read_last_claims(struct estate *e, const uint8_t *p, size_t n)
{
	if (read_claims(e, p, n) == -1)
		return -1;
	inherit_whole(e->claims, e->env->status->policy->pin_linger);
	return 0;
}

/* Connections that came before this did see no reason to be looked at. */
static int
read_nodes(struct estate *e, const uint8_t *p, size_t n)
{
	const struct ctl_env *env = e->env;
	struct node *all[2 * POL_NODES_MAX];
	const int r = nodes_read(env->nodes, p, n, clock_ms());
	const size_t k = nodes_all(env->nodes, all, 2 * POL_NODES_MAX);

	for (size_t i = 0; i < k; i++) {
		const bool look = all[i]->doubt_ms != 0 || all[i]->leave;

		for (size_t w = 0; look && w < env->nworkers; w++)
			worker_node_doubt(env->workers[w], all[i]);
		node_unref(&all[i]);
	}
	return r;
}

static int
read_room(struct estate *e, enum estate_room room, const uint8_t *p, size_t n)
{
	const uint64_t now = clock_ms();

	switch (room) {
	case ESTATE_STATS:
		return stats_read(e->env->stats, p, n);
	case ESTATE_TRAFFIC:
		return traffic_read(e->env->nodes, p, n);
	case ESTATE_NODES:
		return read_nodes(e, p, n);
	case ESTATE_REFUSALS:
		return e->env->refused == NULL ? 0 : refused_read(e->env->refused, p, n, now);
	case ESTATE_DRAINS:
		return drainer_read(e->env->drainer, e->env->nodes, p, n);
	case ESTATE_LEVEL:
		return loglevel_read(e->env->loglevel, p, n);
	case ESTATE_MAP:
		return e->env->shared == NULL ? 0 : shared_read(e->env->shared, p, n);
	case ESTATE_CLAIMS:
		return read_last_claims(e, p, n);
	case ESTATE_ORDERS:
		return e->env->keeper == NULL ? 0 : keeper_read_drains(e->env->keeper, p, n);
	case ESTATE_EXCEPTIONS:
		return read_exceptions(e, p, n);
	case ESTATE_HOMES:
		return e->env->read_homes == NULL ? 0 : e->env->read_homes(e->env->arg, p, n);
	case ESTATE_ACCEPTED:
		return accepted_read(e->env, p, n);
	case ESTATE_ROOMS:
		break;
	}
	return -1;
}

/* -1: it is too long, or memory is out. */
static int
add_piece(struct estate *e, enum estate_room room, const struct takemsg *m)
{
	const size_t need = e->in[room].len + m->number;
	uint8_t *more;

	if (need > RECORD_MAX_BYTES)
		return -1;
	if (need > e->in[room].cap) {
		more = realloc(e->in[room].bytes, 2 * need);
		if (more == NULL)
			return -1;
		e->in[room].bytes = more;
		e->in[room].cap = 2 * need;
	}
	if (m->number > 0)
		memcpy(e->in[room].bytes + e->in[room].len, m->piece, m->number);
	e->in[room].len = need;
	return 0;
}

/* Those of it that are whole, of a room that is read as it comes. */
static int
read_some(struct estate *e, enum estate_room room)
{
	uint8_t *p = e->in[room].bytes;
	const size_t n = e->in[room].len, whole = tlv_whole(p, n);
	const int r = room == ESTATE_CLAIMS ? read_claims(e, p, whole)
	                                    : read_exceptions(e, p, whole);

	memmove(p, p + whole, n - whole);
	e->in[room].len = n - whole;
	return r;
}

void
estate_heard(struct estate *e, const struct takemsg *m)
{
	const enum estate_room room = (enum estate_room)m->what;
	bool bad;

	/* A room that a later version has. */
	if (room == 0 || room >= ESTATE_ROOMS || m->number > TAKE_PIECE)
		return;
	bad = e->in[room].bad || add_piece(e, room, m) == -1;
	if (!bad && m->number < TAKE_PIECE)
		bad = read_room(e, room, e->in[room].bytes, e->in[room].len) == -1;
	else if (!bad && (room == ESTATE_CLAIMS || room == ESTATE_EXCEPTIONS) &&
	    e->in[room].len >= SOME_AT_ONCE)
		bad = read_some(e, room) == -1;
	e->in[room].bad = bad;
	if (m->number == TAKE_PIECE)
		return;
	e->in[room].len = 0;
	e->in[room].bad = false;
	if (!bad)
		return;
	log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: a part of what the other process knew cannot be read, and is lost (%u)",
	    m->what);
}
