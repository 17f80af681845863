/* opening.c: a connection from its first frame to its node */
#include "config.h"

#include "proxy/opening.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/wr.h"
#include "nodes/node.h"
#include "nodes/source.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/dialled.h"
#include "proxy/env.h"
#include "proxy/held.h"
#include "proxy/send.h"
#include "proxy/tapped.h"
#include "proxy/wait.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "stats/stats.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 *	SMB2 NEGOTIATE ─────────────────────────────┐
 *	SMB1 with "SMB 2.???" ─ 0x02ff ─ NEGOTIATE ─┤ route ─► connect ─┬────────────────────► relay
 *	SMB1 with "SMB 2.002" ──────────────────────┤                   └ replay, swallow 0x02ff ┘
 *	SMB1 alone ─ refused, or (policy) ──────────┘
 *
 * Where no node is known to go on behind 0x02ff, "SMB 2.???" counts for nothing: 2.0.2 or SMB1 is
 * then the answer to the first message, and comes from the node.
 */

/* Another node for the client; it ends for that reason if there is none. */
static void
try_another(struct conn *c, enum close_reason why)
{
	struct node *failed = c->node;

	leg_close(&c->side[S2C].leg, c->env->edges, false);
	c->node = NULL;
	c->route.traffic = 0;
	c->mediate.node = NULL;
	conn_sum(c, failed, 0, false);
	conn_count_node(c, failed, -1);
	conn_enter(c, CONN_ROUTE, 0);
	route_again(&c->route, failed, why);
	node_unref(&failed);
}

void
opening_connect_failed(struct conn *c)
{
	stats_add(c->env->stats, STAT_node_connect_failed, 1);
	tapped_event(c, "connect", "node %s cannot be reached", c->node->name);
	/* The health checks look at it at once. */
	atomic_store(&c->node->suspect_ms, clock_ms());
	try_another(c, CLOSE_NODE_CONNECT);
}

/*
 * socket() or connect() failed. What is this machine's own trouble says nothing of the node; where
 * another node may be within reach, it is tried.
 */
static void
dial_failed(struct conn *c, int err, bool at_once, const struct addr *from)
{
	enum dial_fault f = dial_fault(err, at_once);

	if (f == DIAL_NODE) {
		opening_connect_failed(c);
		return;
	}
	own_trouble(&c->env->own, f, err, c->node, from);
	if (f == DIAL_FILES || f == DIAL_MEMORY)
		conn_end(c, own_close(f));
	else
		try_another(c, own_close(f));
}

static void
connected(struct conn *c)
{
	route_reached(&c->route);
	if (c->env->ntaps > 0)
		tapped_match(c);
	tapped_connected(c);
	if (buf_len(&c->replay) > 0) {
		conn_enter(c, CONN_REPLAY, 0);
		if (send_bytes(&c->side[C2S], buf_head(&c->replay), buf_len(&c->replay)) == -1) {
			conn_end(c, c->send_failed);
			return;
		}
	} else {
		conn_enter(c, CONN_NEGOTIATE, 0);
		wait_over(c, WAIT_NODE);
	}
	conn_arm(c);
}

void
opening_dialled(struct conn *c, short what)
{
	bool may_have_failed = (what & (EV_READ | EV_CLOSED)) != 0;
	int err = 0;
	socklen_t len = sizeof(err);

	if ((what & EV_WRITE) == 0)
		return;
	if (may_have_failed &&
	    getsockopt(c->side[S2C].leg.edge.fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0)
		dial_failed(c, err, false, NULL);
	else
		connected(c);
}

/* That is a fault on our side: the health checks need not look at the node. */
static void
source_failed(struct conn *c, int err, const struct addr *from)
{
	char text[ADDR_STRLEN];

	log_about(LOG_LEVEL_ERROR, mediate_log(&c->mediate, LOG_EVENT_CLOSED),
	    "source = %s: cannot dial node %s from %s: %s",
	    pol_source_str(mediate_rules(&c->mediate)->source), c->node->name,
	    addr_str(from, text), strerror(err));
	conn_end(c, CLOSE_SOURCE_ADDRESS);
}

enum dialling { DIALLING, DIAL_BAD_SOURCE, DIAL_FAILED };

/* A connection is under way: *fd; otherwise *err says why not. */
static enum dialling
dial_from(const struct conn *c, const struct addrport *to, enum source source,
    const struct addr *from, int *fd, int *err)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(to, &ss);
	enum dialling r = DIAL_FAILED;

	*fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd == -1)
		goto fail;
	leg_tcp(*fd, c->env->policy->tcp.node_timeout);
	if (source >= SOURCE_CLIENT && source_bind(*fd, source, from) == -1) {
		r = DIAL_BAD_SOURCE;
		goto fail;
	}
	if (connect(*fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
		return DIALLING;
fail:
	*err = errno;
	if (*fd != -1)
		close(*fd);
	return r;
}

static void
connect_node(struct conn *c)
{
	const struct policy *p = c->env->policy;
	const struct addr *client = &c->mediate.self.client.addr;
	struct side *s = &c->side[S2C];
	struct addrport to = dialled_to(c);
	struct addr from;
	enum source source = source_choose(p, mediate_rules(&c->mediate)->source,
	    c->env->route.hash, client, &to.addr, &from);
	enum dialling r;
	int fd, err = 0;

	if (source == SOURCE_MISFIT)
		stats_add(c->env->stats, STAT_source_misfit, 1);
	conn_enter(c, CONN_CONNECT, clock_ms() + p->tcp.connect_timeout);
	do
		r = dial_from(c, &to, source, &from, &fd, &err);
	while (r == DIAL_FAILED && dial_fault(err, true) == DIAL_PORTS && source == SOURCE_POOL &&
	    source_next(p, c->env->route.hash, client, &to.addr, &from));
	if (r == DIAL_BAD_SOURCE) {
		source_failed(c, err, &from);
	} else if (r == DIAL_FAILED) {
		dial_failed(c, err, true, source >= SOURCE_CLIENT ? &from : NULL);
	} else if (leg_open(&s->leg, c->env->edges, fd) == -1) {
		close(fd);
		conn_end(c, CLOSE_NO_MEMORY);
	} else {
		conn_arm(c);
	}
}

/* The decision, for who traces. */
static void
trace_route(const struct conn *c, const struct node *node, enum close_reason why)
{
	if (!c->tapped)
		return;
	if (node == NULL)
		tapped_event(c, "route", "no node: %s", close_text(why));
	else
		tapped_event(c, "route", "to node %s, by %s%s", node->name,
		    route_by_str(c->route.by),
		    c->route.others ? "; the client has other connections there" : "");
}

static void
routed_cb(void *arg, struct node *node, enum close_reason why)
{
	struct conn *c = arg;

	MAGIC_CHECK(c, CONN_MAGIC);
	if (conn_over(c)) {
		node_unref(&node);
		return;
	}
	if (node != NULL && c->listener->intercept && dialled_forbids(c, node)) {
		node_unref(&node);
		why = CLOSE_NO_SUCH_NODE;
	}
	trace_route(c, node, why);
	if (node == NULL) {
		held_or_end(c, why);
		return;
	}
	c->node = node;
	c->route.traffic = node->traffic;
	conn_count_node(c, node, 1);
	c->mediate.node = node;
	if (c->listener->intercept)
		dialled_note(c);
	connect_node(c);
}

/* A proxy's header says where its client went: that need not be here. */
static bool
reached_us_at(const struct conn *c, const struct addrport *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addrport local;

	return getsockname(c->side[C2S].leg.edge.fd, (struct sockaddr *)&ss, &len) == 0 &&
	    addrport_from_sa(&local, (struct sockaddr *)&ss) == 0 && local.port == a->port &&
	    addr_equal(&local.addr, &a->addr);
}

/*
 * Whoever dialled a node's very address has reached this listener: that node is smbgate itself,
 * from now on. A client that was sent there comes back here once, and not until descriptors are
 * out.
 */
static void
mark_loop(const struct conn *c)
{
	const struct addrport *local = &c->mediate.self.local;
	const struct pol_node *pn = c->listener->intercept ? NULL
	                                                   : policy_node_at(c->env->policy, local);
	struct node *n;

	if (pn == NULL || pn->address.port != local->port ||
	    !addr_equal(&pn->address.addr, &local->addr) || !reached_us_at(c, local))
		return;
	n = nodes_find_policy(c->env->route.nodes, pn);
	if (n != NULL && atomic_exchange(&n->health, NODE_LOOP) != NODE_LOOP)
		log_error("node %s is not used: its address is smbgate's own listener \"%s\"",
		    n->name, c->listener->name);
	node_unref(&n);
}

static void
route_conn(struct conn *c, const struct state_key *client, uint16_t oldest)
{
	const struct policy *p = c->env->policy;
	struct node *n = dialled_node(c);
	struct state_key key = *client;

	conn_enter(c, CONN_ROUTE, 0);
	c->route.oldest = oldest;
	state_key_set_cluster(&key, dialled_cluster(c));
	if (c->listener->intercept && n == NULL) {
		/* Whoever it is that was dialled, none of the nodes is. */
		c->route.key = key;
		held_or_end(c, CLOSE_NO_SUCH_NODE);
		return;
	}
	if (p->rebalance)
		node_unref(&n);
	/* Ids are never 0: no connection sticks to its address by chance. */
	route_start(&c->route, &c->env->route, &key,
	    p->no_guid == POL_NO_GUID_ADDRESS ? 0 : c->mediate.self.conn_id, n, routed_cb, c);
}

/*
 * The oldest dialect that the client takes of a node; 0: SMB1 will do, or it is not known. One that
 * was told 0x02ff cannot go on at a node that knows 2.0.2 alone: that has chosen with its answer to
 * the SMB1 NEGOTIATE.
 */
static uint16_t
oldest_of(const struct conn *c, const struct first *f)
{
	if (f->kind == FIRST_SMB2_002)
		return mediate_rules(&c->mediate)->smb1 == POL_SMB1_REFUSE ? SMB2_DIALECT_202 : 0;
	if (f->kind != FIRST_SMB2)
		return 0;
	return c->kind == FIRST_MULTI && f->min_dialect < SMB2_DIALECT_210 ? SMB2_DIALECT_210
	                                                                    : f->min_dialect;
}

static struct outcome
wait_for_node(struct conn *c, const struct first *f)
{
	struct state_key key = f->has_guid ? route_key_guid(&f->guid, 0)
	                                   : route_key_addr(&c->mediate.self.client.addr, 0);

	mark_loop(c);
	route_conn(c, &key, oldest_of(c, f));
	return wait_for(&c->side[C2S], WAIT_NODE);
}

void
opening_route_again(struct conn *c)
{
	const struct state_key key = c->route.key;
	const uint16_t oldest = c->route.oldest;

	c->route = (struct route){ .env = NULL };
	route_conn(c, &key, oldest);
}

/* Answer the SMB1 NEGOTIATE with 0x02ff as the node would, and learn the GUID from what follows. */
static struct outcome
answer_multi(struct conn *c, const uint8_t *frame, size_t len)
{
	uint8_t blob[NODE_BLOB_MAX], out[NBSS_HDR_LEN + SMB2_HDR_LEN + 64 + NODE_BLOB_MAX];
	struct wr w = wr_init(out, sizeof(out));
	struct neg2_resp r;

	if (buf_add(&c->replay, frame, len) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_NO_MEMORY };
	nodes_answer(c->env->route.nodes, dialled_cluster(c), &r, blob);
	r.dialect = SMB2_DIALECT_2FF;
	/*
	 * What 2.1 knows, [MS-SMB2] 3.3.5.3.1: the rest depends on a dialect that is not chosen
	 * yet.
	 */
	r.capabilities &= SMB2_GLOBAL_CAP_DFS | SMB2_GLOBAL_CAP_LEASING | SMB2_GLOBAL_CAP_LARGE_MTU;
	wr_zero(&w, NBSS_HDR_LEN);
	neg2_resp_put(&w, &r);
	assert(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	conn_enter(c, CONN_SECOND, 0);
	stats_add(c->env->stats, STAT_multi_protocol, 1);
	if (send_bytes(&c->side[S2C], out, wr_len(&w)) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = c->send_failed };
	return (struct outcome){ .act = OUTCOME_DROP };
}

static struct outcome
refuse_smb1(struct conn *c, const struct first *f)
{
	uint8_t out[NBSS_HDR_LEN + 64];
	struct wr w = wr_init(out, sizeof(out));

	wr_zero(&w, NBSS_HDR_LEN);
	neg1_refuse_put(&w, &f->hdr1);
	assert(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	stats_add(c->env->stats, STAT_smb1_refused, 1);
	(void)send_bytes(&c->side[S2C], out, wr_len(&w));
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_SMB1_REFUSED };
}

/* None of the dialects is new enough for the policy: the answer of a server that knows none. */
static struct outcome
refuse_dialect(struct conn *c, const uint8_t *frame)
{
	uint8_t out[NBSS_HDR_LEN + ERR2_LEN];
	struct wr w = wr_init(out, sizeof(out));
	struct hdr2 req, h;

	stats_add(c->env->stats, STAT_dialects_refused, 1);
	/* first_judge() has read this header. */
	if (hdr2_get(&req, frame + NBSS_HDR_LEN, SMB2_HDR_LEN) == 0) {
		h = hdr2_reply(&req, STATUS_NOT_SUPPORTED, 1);
		wr_zero(&w, NBSS_HDR_LEN);
		err2_put(&w, &h);
		nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
		(void)send_bytes(&c->side[S2C], out, wr_len(&w));
	}
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_DIALECT_REFUSED };
}

/* The newest dialect that the client may find: of the node that it dialled, or of any. */
static uint16_t
newest_here(const struct conn *c)
{
	struct node *n = c->env->policy->rebalance ? NULL : dialled_node(c);
	uint16_t newest = n != NULL && node_takes_new(n) ? n->dialect : 0;

	node_unref(&n);
	return newest != 0 ? newest : nodes_dialect(c->env->route.nodes, dialled_cluster(c));
}

/* The offer that the nodes can take up. */
static enum first_kind
kind_here(const struct conn *c, const struct first *f)
{
	uint16_t newest;

	if (f->kind != FIRST_MULTI)
		return f->kind;
	newest = newest_here(c);
	if (newest >= SMB2_DIALECT_210)
		return FIRST_MULTI;
	return newest != NODE_DIALECT_SMB1 && f->smb2_002 ? FIRST_SMB2_002 : FIRST_SMB1;
}

struct outcome
opening_frame(struct conn *c, const uint8_t *frame, size_t len)
{
	struct first f = first_judge(frame, len);

	if (f.kind == FIRST_BAD)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = f.why };
	/* What follows a multi-protocol opening is SMB2 and nothing else. */
	if (c->stage == CONN_SECOND && f.kind != FIRST_SMB2)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_SEQUENCE };
	f.kind = kind_here(c, &f);
	if (c->stage != CONN_SECOND)
		c->kind = f.kind;
	switch (f.kind) {
	case FIRST_SMB2:
		if (f.has_guid && nodes_meet_probe(c->env->route.nodes, &f.guid))
			return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_OWN_PROBE };
		if (f.max_dialect < mediate_rules(&c->mediate)->auth.min_dialect)
			return refuse_dialect(c, frame);
		break;
	case FIRST_SMB2_002:
		if (mediate_rules(&c->mediate)->auth.min_dialect > SMB2_DIALECT_202) {
			stats_add(c->env->stats, STAT_dialects_refused, 1);
			return refuse_smb1(c, &f);
		}
		break;
	case FIRST_MULTI:
		return answer_multi(c, frame, len);
	case FIRST_SMB1:
		if (mediate_rules(&c->mediate)->smb1 == POL_SMB1_REFUSE)
			return refuse_smb1(c, &f);
		break;
	default:
		break;
	}
	c->raw = f.kind != FIRST_SMB2;
	return wait_for_node(c, &f);
}

/* The first frame of a client whose packet goes to the node as it is. */
struct outcome
opening_pass_raw(struct conn *c)
{
	struct track *t = &c->mediate.track;
	/* The answer to SMB1's NEGOTIATE may be SMB2's, with MessageId 0: [MS-SMB2] 3.3.5.3.2. */
	const struct pending p = { .kind = PENDING_NEGOTIATE, .command = SMB2_NEGOTIATE };
	enum close_reason why;

	c->raw = false;
	track_negotiate_smb1(t);
	if (c->kind == FIRST_SMB2_002 && track_ask(t, &p, &why) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
	return (struct outcome){ .act = OUTCOME_PASS };
}

/* The node's answer to the replayed SMB1 NEGOTIATE: the client has had its own. */
struct outcome
opening_swallow(struct conn *c, const uint8_t *frame, size_t len)
{
	struct neg2_resp r;

	if (neg2_resp_get(&r, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN) == -1 ||
	    r.dialect != SMB2_DIALECT_2FF) {
		/* It has changed its mind since the last probe: the next one tells. */
		atomic_store(&c->node->suspect_ms, clock_ms());
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNEXPECTED_ANSWER };
	}
	buf_fini(&c->replay);
	conn_enter(c, CONN_NEGOTIATE, 0);
	wait_over(c, WAIT_NODE);
	return (struct outcome){ .act = OUTCOME_DROP };
}
