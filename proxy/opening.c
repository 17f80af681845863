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
#include "proxy/env.h"
#include "proxy/held.h"
#include "proxy/send.h"
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
 */

/* Another node for the client; it ends for that reason if there is none. */
static void
try_another(struct conn *c, enum close_reason why)
{
	struct node *failed = c->node;

	leg_close(&c->side[S2C].leg, false);
	c->node = NULL;
	c->mediate.node = NULL;
	atomic_fetch_sub(&failed->connections, 1);
	conn_enter(c, CONN_ROUTE, 0);
	route_again(&c->route, failed, why);
	node_unref(&failed);
}

void
opening_connect_failed(struct conn *c)
{
	stats_add(c->env->stats, STAT_node_connect_failed, 1);
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
	if (buf_len(&c->replay) > 0) {
		conn_enter(c, CONN_REPLAY, 0);
		if (send_bytes(&c->side[C2S], buf_head(&c->replay), buf_len(&c->replay)) == -1) {
			conn_end(c, c->send_failed);
			return;
		}
	} else {
		conn_enter(c, CONN_NEGOTIATE, 0);
		c->resume[C2S] = true;
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
	    getsockopt(c->side[S2C].leg.fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0)
		dial_failed(c, err, false, NULL);
	else
		connected(c);
}

/* The node that an intercepted client dialled, or NULL. */
static const struct pol_node *
dialled(const struct conn *c)
{
	return c->listener->intercept ? policy_node_at(c->env->policy, &c->mediate.self.local)
	                              : NULL;
}

/* The address that was dialled, where it is one of this node's; else the one that policy gives. */
static struct addrport
node_address(const struct conn *c)
{
	const struct pol_node *pn = dialled(c);
	struct addrport a = c->node->address;

	if (pn != NULL && node_is(c->node, pn))
		a.addr = c->mediate.self.local.addr;
	return a;
}

/* That is a fault on our side: the health checks need not look at the node. */
static void
source_failed(struct conn *c, int err, const struct addr *from)
{
	char text[ADDR_STRLEN];
	unsigned left_out;

	if (log_allow(&c->env->log, clock_ms(), &left_out))
		log_error("source = %s: cannot dial node %s from %s: %s",
		    pol_source_str(c->env->policy->source), c->node->name, addr_str(from, text),
		    strerror(err));
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
	struct addrport to = node_address(c);
	struct addr from;
	enum source source = source_choose(p, c->env->route.hash, client, &to.addr, &from);
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
	} else if (leg_open(&s->leg, c->env->base, fd, c->env->ops->leg, s) == -1) {
		close(fd);
		conn_end(c, CLOSE_NO_MEMORY);
	} else {
		conn_arm(c);
	}
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
	if (node == NULL) {
		held_or_end(c, why);
		return;
	}
	c->node = node;
	atomic_fetch_add(&node->connections, 1);
	c->mediate.node = node;
	connect_node(c);
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
	    !addr_equal(&pn->address.addr, &local->addr))
		return;
	n = nodes_find_policy(c->env->route.nodes, pn);
	if (n != NULL && atomic_exchange(&n->health, NODE_LOOP) != NODE_LOOP)
		log_error("node %s is not used: its address is smbgate's own listener \"%s\"",
		    n->name, c->listener->name);
	node_unref(&n);
}

static void
route_conn(struct conn *c, const struct state_key *key)
{
	const struct pol_node *pn = c->env->policy->rebalance ? NULL : dialled(c);

	conn_enter(c, CONN_ROUTE, 0);
	route_start(&c->route, &c->env->route, key,
	    pn == NULL ? NULL : nodes_find_policy(c->env->route.nodes, pn), routed_cb, c);
}

static struct outcome
wait_for_node(struct conn *c, const struct first *f)
{
	struct state_key key = f->has_guid ? route_key_guid(&f->guid)
	                                   : route_key_addr(&c->mediate.self.client.addr);

	mark_loop(c);
	route_conn(c, &key);
	return (struct outcome){ .act = OUTCOME_WAIT };
}

void
opening_route_again(struct conn *c)
{
	const struct state_key key = c->route.key;

	c->route = (struct route){ .env = NULL };
	route_conn(c, &key);
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
	nodes_answer(c->env->route.nodes, &r, blob);
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

struct outcome
opening_frame(struct conn *c, const uint8_t *frame, size_t len)
{
	struct first f = first_judge(frame, len);

	if (f.kind == FIRST_BAD)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = f.why };
	/* What follows a multi-protocol opening is SMB2 and nothing else. */
	if (c->stage == CONN_SECOND && f.kind != FIRST_SMB2)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_SEQUENCE };
	if (c->stage != CONN_SECOND)
		c->kind = f.kind;
	switch (f.kind) {
	case FIRST_SMB2:
		if (f.has_guid && nodes_meet_probe(c->env->route.nodes, &f.guid))
			return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_OWN_PROBE };
		if (f.max_dialect < c->env->policy->auth.min_dialect)
			return refuse_dialect(c, frame);
		break;
	case FIRST_SMB2_002:
		if (c->env->policy->auth.min_dialect > SMB2_DIALECT_202) {
			stats_add(c->env->stats, STAT_dialects_refused, 1);
			return refuse_smb1(c, &f);
		}
		break;
	case FIRST_MULTI:
		return answer_multi(c, frame, len);
	case FIRST_SMB1:
		if (c->env->policy->smb1 == POL_SMB1_REFUSE)
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
	t->smb1_offered = c->env->policy->smb1 == POL_SMB1_ALLOW;
	t->negotiating = true;
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
	    r.dialect != SMB2_DIALECT_2FF)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNEXPECTED_ANSWER };
	buf_fini(&c->replay);
	conn_enter(c, CONN_NEGOTIATE, 0);
	c->resume[C2S] = true;
	return (struct outcome){ .act = OUTCOME_DROP };
}
