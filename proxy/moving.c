/* moving.c: a connection that goes to another smbgate process, or comes from one */
#include "config.h"

#include "proxy/moving.h"

#include "base/clock.h"
#include "base/tlv.h"
#include "inspect/record.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/strangers.h"
#include "proxy/tapped.h"
#include "proxy/turn.h"
#include "proxy/vc_index.h"
#include "stats/stats.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What a direction may have kept, to go in one message: a held frame, and what stands behind it. */
#define KEPT_MAX (HOLD_MAX + 8192)

/* Types of a record; see inspect/record.h. */
enum {
	R_LISTENER = 1, R_NODE, R_KIND, R_STANDING, R_CALLING_NAME, R_ACCEPTED, R_OWED_SINCE,
	R_CONN_ID, R_CLIENT, R_CLIENT_PORT, R_LOCAL, R_LOCAL_PORT, R_KEY, R_OLDEST, R_BY, R_OTHERS,
	R_SIDE, R_MEDIATE, R_WAS_HELD,
};

/* What stands in a connection in another form, or not in one place. */
struct heading {
	char listener[64];
	char node[STATE_NODE_LEN];
	char calling_name[16];
	uint8_t kind, standing, by;
	bool others;
};

static const struct tlv_field heading_fields[] = {
	TLV_TEXT(R_LISTENER, heading, listener),
	TLV_TEXT(R_NODE, heading, node),
	TLV_TEXT(R_CALLING_NAME, heading, calling_name),
	TLV_UINT(R_KIND, heading, kind),
	TLV_UINT(R_STANDING, heading, standing),
	TLV_UINT(R_BY, heading, by),
	TLV_BOOL(R_OTHERS, heading, others),
};

static const struct tlv_field conn_fields[] = {
	TLV_UINT(R_ACCEPTED, conn, accepted_ms),
	TLV_UINT(R_OWED_SINCE, conn, owed_since_ms),
	TLV_BOOL(R_WAS_HELD, conn, was_held),
	TLV_UINT(R_CONN_ID, conn, mediate.self.conn_id),
	TLV_BYTES(R_CLIENT, conn, mediate.self.client.addr),
	TLV_UINT(R_CLIENT_PORT, conn, mediate.self.client.port),
	TLV_BYTES(R_LOCAL, conn, mediate.self.local.addr),
	TLV_UINT(R_LOCAL_PORT, conn, mediate.self.local.port),
	TLV_BYTES(R_KEY, conn, route.key),
	TLV_UINT(R_OLDEST, conn, route.oldest),
};

enum {
	D_DIR = 1, D_BULK, D_HEARD, D_BYTES, D_PASS, D_LEFT, D_NEED, D_IN, D_OUT,
	D_CARE = 10 | TLV_OPTIONAL,
};

static const struct tlv_field side_fields[] = {
	TLV_BOOL(D_BULK, side, bulk),
	TLV_UINT(D_HEARD, side, heard_s),
	TLV_UINT(D_BYTES, side, bytes),
	TLV_UINT(D_PASS, side, pump.pass),
	TLV_UINT(D_LEFT, side, pump.left),
	TLV_UINT(D_NEED, side, pump.need),
	TLV_UINT(D_CARE, side, leg.care),
};

static const char *
side_stays(const struct side *s)
{
	if (s->eof)
		return "half closed";
	if (s->pump.waiting)
		return "a message that waits";
	if (s->pipe != NULL)
		return "bytes in a pipe";
	if (buf_len(&s->pump.in) > KEPT_MAX || buf_len(&s->out) > KEPT_MAX)
		return "bytes that are not taken";
	return NULL;
}

const char *
moving_stays(const struct conn *c)
{
	const char *why;

	if (c->mediate.track.smb1 || c->mediate.smb1 != NULL)
		return "SMB1";
	if (c->stage < CONN_RELAY || c->raw || c->replay.mem != NULL)
		return "no logon yet";
	if (conn_over(c) || c->half_closed || c->end_by_s != 0)
		return "ending";
	if (c->until_ms != 0 || c->alarm != NULL || c->resume[C2S] || c->resume[S2C])
		return "a message that waits";
	if (c->parked_s != 0)
		return "being moved to another node";
	if (c->tapped)
		return "captured";
	if (c->route.waiting || c->route.search != NULL)
		return "its claim is asked for";
	if ((why = side_stays(&c->side[C2S])) != NULL || (why = side_stays(&c->side[S2C])) != NULL)
		return why;
	return mediate_stays(&c->mediate);
}

/* It is in no index: neither a budget nor a VcNumber 0 ends it. */
static void
index_leave(struct conn *c)
{
	const uint8_t standing = c->standing;

	vc_index_take(c);
	c->standing = STANDING_NONE;
	strangers_note(c);
	c->standing = standing;
}

void
moving_freeze(struct conn *c)
{
	for (int i = 0; i < 2; i++)
		leg_unwatch(&c->side[i].leg, c->env->edges);
	turn_take(c);
	index_leave(c);
	conn_unlist(c);
}

/* It is one of the worker's, and all that came for it in the meantime is looked at. */
static void
enlist(struct conn *c)
{
	struct conn_env *env = c->env;
	bool watched = true;

	TAILQ_INSERT_TAIL(&env->conns, c, entry);
	env->nconns++;
	for (int i = 0; i < 2; i++)
		watched &= leg_watch(&c->side[i].leg, env->edges) == 0;
	if (!watched) {
		conn_kill(c, CLOSE_NO_MEMORY);
		return;
	}
	vc_index_put(c);
	awake_stir(c);
	turn_update(c);
	turn_ask(c);
}

void
moving_thaw(struct conn *c)
{
	enlist(c);
}

/* Frees one that is in no list, without a word to anybody. */
static void
conn_forget(struct conn *c)
{
	struct conn_env *env = c->env;

	conn_enter(c, CONN_DEAD, 0);
	for (int i = 0; i < 2; i++)
		leg_close(&c->side[i].leg, env->edges, false);
	if (c->standing != STANDING_NONE)
		(void)conn_stands(c, STANDING_NONE);
	limits_give(env->limits);
	route_depart(&c->route);
	mediate_departed(&c->mediate);
	conn_leave_node(c);
	conn_free(c);
}

void
moving_depart(struct conn *c)
{
	stats_add(c->env->stats, STAT_handed_over, 1);
	listen_closed(&c->env->listens[c->listener->index]);
	conn_forget(c);
}

void
moving_drop(struct conn *c)
{
	conn_forget(c);
}

static void
side_put(const struct side *s, struct tlv_out *o)
{
	size_t at = tlv_begin(o, R_SIDE);

	tlv_put_uint(o, D_DIR, s->dir);
	tlv_put_fields(o, s, side_fields, COUNT(side_fields));
	if (buf_len(&s->pump.in) > 0)
		tlv_put(o, D_IN, buf_head(&s->pump.in), buf_len(&s->pump.in));
	if (buf_len(&s->out) > 0)
		tlv_put(o, D_OUT, buf_head(&s->out), buf_len(&s->out));
	tlv_end(o, at);
}

void
moving_put(const struct conn *c, struct tlv_out *o, int *client, int *node)
{
	struct heading h = { .kind = (uint8_t)c->kind, .standing = c->standing, .by = c->route.by,
		.others = c->route.others };
	size_t at;

	memcpy(h.listener, c->listener->name, sizeof(h.listener));
	memcpy(h.node, c->node->id, sizeof(h.node));
	if (c->calling_name != NULL)
		memcpy(h.calling_name, c->calling_name,
		    strnlen(c->calling_name, sizeof(h.calling_name) - 1));
	tlv_put_fields(o, &h, heading_fields, COUNT(heading_fields));
	tlv_put_fields(o, c, conn_fields, COUNT(conn_fields));
	for (int i = 0; i < 2; i++)
		side_put(&c->side[i], o);
	at = tlv_begin(o, R_MEDIATE);
	mediate_put(&c->mediate, o);
	tlv_end(o, at);
	*client = c->side[C2S].leg.edge.fd;
	*node = c->side[S2C].leg.edge.fd;
}

/*
 * What is kept in a direction is the beginning of one frame; nothing passes before that. None is in
 * the middle of a frame that passes part by part: see mediate_stays().
 */
static bool
side_fits(const struct side *s)
{
	const size_t n = buf_len(&s->pump.in);

	return n <= KEPT_MAX && buf_len(&s->out) <= KEPT_MAX && s->leg.care <= LEG_PATIENT &&
	    s->pump.left == 0 &&
	    (n == 0 || (s->pump.pass == 0 && n < s->pump.need && s->pump.need <= HOLD_MAX));
}

static void
side_get(struct conn *c, struct tlv_in *in)
{
	struct side got = { .eof = false }, *s;
	struct tlv_in v = tlv_sub(in);
	uint64_t dir = 2;

	while (tlv_next(&v)) {
		bool full = false;

		if (v.type == D_DIR)
			dir = tlv_uint(&v, 1);
		else if (v.type == D_IN)
			full = got.pump.in.mem != NULL || buf_add(&got.pump.in, v.value, v.n) == -1;
		else if (v.type == D_OUT)
			full = got.out.mem != NULL || buf_add(&got.out, v.value, v.n) == -1;
		else if (!tlv_get_field(&v, &got, side_fields, COUNT(side_fields)))
			tlv_unknown(&v);
		v.bad |= full;
	}
	s = &c->side[dir & 1];
	if (v.bad || dir > 1 || !side_fits(&got) || s->pump.in.mem != NULL || s->out.mem != NULL) {
		pump_fini(&got.pump);
		buf_fini(&got.out);
		in->bad = true;
		return;
	}
	s->bulk = got.bulk;
	s->heard_s = got.heard_s;
	s->bytes = got.bytes;
	s->pump = got.pump;
	s->leg.care = got.leg.care;
	s->out = got.out;
}

/* All but what inspection knows, of which *inspected is a reader. */
static bool
conn_get(struct conn *c, struct heading *h, struct tlv_in in, struct tlv_in *inspected)
{
	while (tlv_next(&in)) {
		if (in.type == R_SIDE)
			side_get(c, &in);
		else if (in.type == R_MEDIATE)
			*inspected = tlv_sub(&in);
		else if (!tlv_get_field(&in, h, heading_fields, COUNT(heading_fields)) &&
		    !tlv_get_field(&in, c, conn_fields, COUNT(conn_fields)))
			tlv_unknown(&in);
	}
	return !in.bad && h->kind <= FIRST_SMB1 && h->standing <= STANDING_USER &&
	    h->by <= ROUTE_BLIND;
}

static const struct conf_listen *
listener_named(const struct conn_env *env, const char *name)
{
	for (size_t i = 0; i < env->nlisten; i++)
		if (strcmp(env->listen[i].name, name) == 0)
			return &env->listen[i];
	return NULL;
}

/* What was read of it is freed again; the sockets are not its own. */
static void
conn_unmake(struct conn *c)
{
	if (c->node != NULL)
		conn_leave_node(c);
	c->stage = CONN_DEAD;
	conn_free(c);
}

/* Its place in the world, by name; NULL: it has one. */
static const char *
find_place(struct conn *c, const struct heading *h)
{
	struct conn_env *env = c->env;

	c->listener = listener_named(env, h->listener);
	if (c->listener == NULL)
		return "no such listener";
	c->node = nodes_find(env->route.nodes, h->node);
	if (c->node == NULL)
		return "no such node";
	conn_count_node(c, c->node, 1);
	if (h->calling_name[0] != '\0' && (c->calling_name = strdup(h->calling_name)) == NULL)
		return "out of memory";
	return NULL;
}

/* It counts as what it was; false: there is no room for it. */
static bool
take_room(struct conn *c, enum standing standing)
{
	if (!limits_take(c->env->limits))
		return false;
	if (limits_adopt(c->env->limits, &c->mediate.self.client.addr, standing)) {
		c->standing = (uint8_t)standing;
		return true;
	}
	limits_give(c->env->limits);
	return false;
}

/*
 * What other parts of this process have of it. NULL: all is well; otherwise nothing is left of
 * that.
 */
static const char *
settle_in(struct conn *c, const struct heading *h, struct tlv_in inspected)
{
	const struct channel_ends self = c->mediate.self;
	const char *why = NULL;

	c->kind = h->kind;
	c->route.by = h->by & 0xf;
	c->route.others = h->others;
	c->stage = CONN_RELAY;
	mediate_init(&c->mediate, &c->env->mediate, c->listener->name, &self, c);
	c->mediate.intercept = c->mediate.self.intercept = c->listener->intercept;
	c->mediate.node = c->node;
	if (!take_room(c, (enum standing)h->standing)) {
		mediate_departed(&c->mediate);
		return "there is no room";
	}
	if (mediate_get(&c->mediate, inspected) == -1 || !c->mediate.track.logged_on)
		why = "the record is wrong, or memory is out";
	else if (!route_adopt(&c->route, &c->env->route, c->node))
		why = "its client lives on another node";
	if (why == NULL)
		return NULL;
	(void)conn_stands(c, STANDING_NONE);
	limits_give(c->env->limits);
	route_depart(&c->route);
	mediate_departed(&c->mediate);
	return why;
}

struct conn *
moving_get(struct conn_env *env, struct tlv_in in, int client, int node, const char **why)
{
	struct tlv_in inspected = { .bad = true };
	struct heading h = { .kind = 0 };
	struct conn *c = calloc(1, sizeof(*c));
	const int fds[2] = { client, node };

	if (c == NULL) {
		*why = "out of memory";
		return NULL;
	}
	MAGIC_SET(c, CONN_MAGIC);
	c->env = env;
	for (int i = 0; i < 2; i++) {
		MAGIC_SET(&c->side[i], SIDE_MAGIC);
		c->side[i].conn = c;
		c->side[i].dir = (enum dir)i;
	}
	*why = conn_get(c, &h, in, &inspected) ? find_place(c, &h) : "the record is wrong";
	if (*why == NULL)
		*why = settle_in(c, &h, inspected);
	if (*why != NULL) {
		conn_unmake(c);
		return NULL;
	}
	for (int i = 0; i < 2; i++) {
		const uint8_t care = c->side[i].leg.care;

		leg_take(&c->side[i].leg, fds[i]);
		c->side[i].leg.care = care;
	}
	return c;
}

void
moving_begin(struct conn *c)
{
	stats_add(c->env->stats, STAT_taken_over, 1);
	if (c->mediate.self.conn_id > atomic_load(&c->env->taken_id))
		atomic_store(&c->env->taken_id, c->mediate.self.conn_id);
	mediate_arrived(&c->mediate);
	/* Where nobody says what a doubt has made of it, it is as one that was just dialled. */
	if (c->side[S2C].leg.care == LEG_NEW)
		leg_tcp(c->side[S2C].leg.edge.fd, c->env->policy->tcp.node_timeout);
	/* Counted as taken first: so there are never fewer accepted. */
	atomic_fetch_add_explicit(&c->env->listens[c->listener->index].taken, 1,
	    memory_order_relaxed);
	listen_accepted(&c->env->listens[c->listener->index]);
	conn_set_plain(c);
	enlist(c);
	if (c->stage != CONN_DEAD && c->env->ntaps > 0)
		tapped_match(c);
}
