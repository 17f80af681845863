/* daemon-inherit.c: what one process hands to the next, written and read; and records that lie */
#include "config.h"

#include "base/log.h"
#include "base/tlv.h"
#include "daemon/ctl_env.h"
#include "daemon/drainer.h"
#include "daemon/estate.h"
#include "daemon/loglevel.h"
#include "daemon/takemsg.h"
#include "nodes/inherit.h"
#include "nodes/node.h"
#include "nodes/traffic.h"
#include "policy/policy.h"
#include "state/inherit.h"
#include "state/link_conf.h"
#include "state/local.h"
#include "state/shared.h"
#include "state/state.h"
#include "stats/inherit.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

static uint64_t now = 5000000;

static uint64_t
test_clock(void)
{
	return now;
}

static struct addrport
at(const char *text)
{
	struct addrport a;

	assert_int_equal(addrport_parse(&a, text, 445), 0);
	return a;
}

static struct policy *
policy(void)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	p->nnodes = 2;
	p->nodes = calloc(2, sizeof(*p->nodes));
	for (size_t i = 0; i < 2; i++) {
		char text[32];

		snprintf(p->nodes[i].name, sizeof(p->nodes[i].name), "n%zu", i + 1);
		snprintf(text, sizeof(text), "10.0.0.%zu:445", i + 1);
		p->nodes[i].address = at(text);
		p->nodes[i].weight = 1;
	}
	return p;
}

/*
 * Cuts the record everywhere, and turns each of its bits: a reader says no, or has read something;
 * never more than there is.
 */
static void
lie(const struct tlv_out *o, void (*reader)(void *arg, const void *p, size_t n), void *arg)
{
	for (size_t n = 0; n < o->len; n++) {
		uint8_t *p = malloc(n == 0 ? 1 : n);

		assert_non_null(p);
		memcpy(p, o->data, n);
		reader(arg, p, n);
		free(p);
	}
	for (size_t i = 0; i < o->len * 8; i++) {
		uint8_t *p = malloc(o->len);

		assert_non_null(p);
		memcpy(p, o->data, o->len);
		p[i / 8] ^= (uint8_t)(1U << (i % 8));
		reader(arg, p, o->len);
		free(p);
	}
}

/* Of all types but those that may be passed over. */
static void
unknown(int (*reader)(void *arg, const void *p, size_t n), void *arg)
{
	struct tlv_out o = { .len = 0 };

	tlv_put_uint(&o, 0x7abc | TLV_OPTIONAL, 1);
	assert_int_equal(reader(arg, o.data, o.len), 0);
	tlv_put_uint(&o, 0x7abc, 1);
	assert_int_equal(reader(arg, o.data, o.len), -1);
	tlv_out_fini(&o);
}

/* Counters. */

static int
read_stats(void *arg, const void *p, size_t n)
{
	return stats_read(arg, p, n);
}

static void
lie_stats(void *arg, const void *p, size_t n)
{
	(void)!stats_read(arg, p, n);
}

static void
counters(void **state)
{
	struct stats old = { .count = { 0 } }, told = old, new = old, liar = old;
	struct tlv_out o = { .len = 0 };

	(void)state;
	old.count[STAT_accepted] = 1ULL << 40;
	old.count[STAT_COUNT - 1] = 7;
	old.closed[CLOSE_CLIENT_EOF] = 5;
	old.closed[CLOSE_COUNT - 1] = 3;
	stats_write(&o, &old, &told);
	assert_false(o.bad);
	new.count[STAT_accepted] = 2;
	assert_int_equal(stats_read(&new, o.data, o.len), 0);
	assert_int_equal(new.count[STAT_accepted], (1ULL << 40) + 2);
	lie(&o, lie_stats, &liar);
	tlv_out_fini(&o);
	/* The rest, at its end. */
	old.count[STAT_accepted]++;
	old.closed[CLOSE_CLIENT_EOF] += 2;
	stats_write(&o, &old, &told);
	assert_int_equal(stats_read(&new, o.data, o.len), 0);
	new.count[STAT_accepted] -= 2;
	assert_memory_equal(&new, &old, sizeof(new));
	tlv_out_fini(&o);
	stats_write(&o, &old, &told);
	assert_int_equal(o.len, 0);
	/* A counter that another version has. */
	{
		size_t begin = tlv_begin(&o, 1);

		tlv_put_text(&o, 1, "a_counter_to_come");
		tlv_put_uint(&o, 2, 5);
		tlv_end(&o, begin);
	}
	assert_int_equal(stats_read(&new, o.data, o.len), 0);
	assert_memory_equal(&new, &old, sizeof(new));
	/* Nothing of a record that is bad at its end. */
	tlv_out_fini(&o);
	old.count[0]++;
	stats_write(&o, &old, &told);
	tlv_put_uint(&o, 77, 5);
	assert_int_equal(stats_read(&new, o.data, o.len), -1);
	assert_int_equal(new.count[0], old.count[0] - 1);
	tlv_out_fini(&o);
	unknown(read_stats, &new);
}

/* Refusals. */

static int
read_refused(void *arg, const void *p, size_t n)
{
	return refused_read(arg, p, n, now);
}

static void
lie_refused(void *arg, const void *p, size_t n)
{
	(void)!refused_read(arg, p, n, now);
}

static void
refusals(void **state)
{
	struct refused *old = refused_new(), *new = refused_new(), *liar = refused_new();
	const struct addrport client = at("10.9.0.1:40000"), local = at("10.1.0.5:445");
	struct refusal x = { .client = client, .local = local,
		.guid = { { 1, 2, 3 } }, .session_id = 0x1122334455667788, .at_ms = now - 5000,
		.kind = 1, .node = "n1", .user = "DOM\\alice" };
	struct refusal *list = calloc(REFUSED_MAX, sizeof(*list));
	struct tlv_out o = { .len = 0 };
	uint64_t left_out;

	(void)state;
	refused_note(old, &x);
	x.at_ms = now - 4000;
	refused_note(old, &x);
	x.at_ms = now - 3000;
	x.kind = 2;
	refused_note(old, &x);
	x.at_ms = now - REFUSED_MS - 1;
	x.kind = 3;
	refused_note(old, &x);
	refused_write(&o, old, now);
	now += 1000;
	assert_int_equal(refused_read(new, o.data, o.len, now), 0);
	assert_int_equal(refused_list(new, now, list, &left_out), 2);
	assert_int_equal(list[0].kind, 2);
	assert_int_equal(list[0].at_ms, now - 3000);
	assert_int_equal(list[1].count, 2);
	x = list[1];
	assert_true(addr_equal(&x.client.addr, &client.addr) && x.client.port == 40000 &&
	    addr_equal(&x.local.addr, &local.addr) && x.local.port == 445);
	assert_true(x.guid.b[2] == 3 && x.session_id == 0x1122334455667788);
	assert_string_equal(x.node, "n1");
	assert_string_equal(x.user, "DOM\\alice");
	/* Once more: counted together with those that came meanwhile. */
	refused_note(new, &x);
	assert_int_equal(refused_read(new, o.data, o.len, now), 0);
	assert_int_equal(refused_list(new, now, list, &left_out), 2);
	lie(&o, lie_refused, liar);
	assert_true(refused_list(liar, now, list, &left_out) <= REFUSED_MAX);
	tlv_out_fini(&o);
	unknown(read_refused, new);
	free(list);
	refused_free(&old);
	refused_free(&new);
	refused_free(&liar);
}

/* Nodes. */

static void
lie_nodes(void *arg, const void *p, size_t n)
{
	(void)!nodes_read(arg, p, n, now);
	(void)!traffic_read(arg, p, n);
}

static int
read_nodes(void *arg, const void *p, size_t n)
{
	return nodes_read(arg, p, n, now);
}

static void
set_node(struct node *n)
{
	static const uint8_t blob[] = "a hint";
	const struct neg2_resp r = { .dialect = 0x311, .capabilities = 0x2f,
		.security_mode = 3, .max_read = 8388608, .server_guid = { { 9, 8 } },
		.blob = blob, .blob_len = sizeof(blob) };
	const struct agent_says says = { .word = AGENT_DRAIN, .percent = 50, .why = "backup" };

	n->health = NODE_UP;
	n->changed_ms = now - 60000;
	snprintf(n->state, sizeof(n->state), "down");
	n->state_ms = now - 5000;
	n->up_since_ms = now - 3000;
	n->answered_ms = now - 100;
	n->logon_hold_ms = now + 7000;
	n->logons_lost = 2;
	n->probe_us = 321;
	n->held_down = true;
	n->hold_ms = now + 9000;
	n->doubt_ms = now - 800;
	n->way_out_ms = now - 700;
	n->trusted_ms = now - 90000;
	n->gone = true;
	n->agent_ms = now - 50;
	n->logons = 11;
	n->probes = 12;
	n->probe_no_way = 1;
	node_agent_says(n, &says);
	node_learn(n, &r);
}

static void
states(void **state)
{
	struct nodes *old = nodes_new(), *new = nodes_new(), *liar = nodes_new();
	struct policy *p = policy();
	struct tlv_out o = { .len = 0 }, more = { .len = 0 };
	uint8_t blob[NODE_BLOB_MAX];
	struct neg2_resp answer;
	struct node *a, *b;

	(void)state;
	nodes_apply(old, p, now);
	nodes_apply(liar, p, now);
	a = nodes_find_name(old, "n1");
	b = nodes_find_name(old, "n2");
	set_node(a);
	b->health = NODE_DOWN;
	b->dialect = NODE_DIALECT_SMB1;
	nodes_write(&o, old, now, true);
	a->logons += 5;
	nodes_write(&more, old, now, false);
	node_unref(&a);
	node_unref(&b);
	/* There n2 is another node. */
	p->nodes[1].address = at("10.0.0.3:445");
	nodes_apply(new, p, now);
	now += 500;
	assert_int_equal(nodes_read(new, o.data, o.len, now), 0);
	a = nodes_find_name(new, "n1");
	b = nodes_find_name(new, "n2");
	assert_string_equal(node_state(b), "unknown");
	assert_int_equal(b->dialect, 0);
	assert_int_equal(a->health, NODE_UP);
	assert_true(a->changed_ms == now - 60000 && a->up_since_ms == now - 3000 &&
	    a->answered_ms == now - 100 && a->agent_ms == now - 50);
	assert_true(a->logon_hold_ms == now + 7000 && a->logons_lost == 2 && a->held_down);
	assert_true(a->hold_ms == now + 9000 && a->doubt_ms == now - 800 &&
	    a->way_out_ms == now - 700 && a->trusted_ms == now - 90000 && a->gone);
	assert_true(a->agent_word == AGENT_DRAIN && a->agent_percent == 50);
	assert_string_equal(node_state(a), "down");
	assert_true(node_state_since(a, now) == now - 5000);
	assert_string_equal(a->agent_why, "backup");
	assert_int_equal(a->dialect, 0x311);
	assert_int_equal(node_capabilities(a), 0x2f);
	assert_true(a->logons == 11 && a->probes == 12 && a->probe_no_way == 1 &&
	    a->logons_failed == 0 && a->probe_us == 321);
	a->agent_word = AGENT_UP;
	a->gone = false;
	nodes_answer(new, 0, &answer, blob);
	assert_int_equal(answer.max_read, 8388608);
	assert_string_equal((const char *)answer.blob, "a hint");
	/* What a probe has told since stays; what the old one counts is added. */
	a->health = NODE_HUNG;
	assert_int_equal(nodes_read(new, more.data, more.len, now), 0);
	assert_true(a->health == NODE_HUNG && a->logons == 16 && a->probes == 12);
	/* So does that it has answered here. */
	a->health = NODE_UP;
	a->doubt_ms = a->way_out_ms = 0;
	a->gone = false;
	assert_int_equal(nodes_read(new, more.data, more.len, now), 0);
	assert_true(a->doubt_ms == 0 && a->way_out_ms == 0 && !a->gone);
	node_unref(&a);
	node_unref(&b);
	lie(&o, lie_nodes, liar);
	unknown(read_nodes, new);
	tlv_out_fini(&o);
	tlv_out_fini(&more);
	nodes_free(&old);
	nodes_free(&new);
	nodes_free(&liar);
	policy_unref(&p);
}

/* A node that the old process has forgotten, with its last connection, has none there. */
static void
forgotten(void **state)
{
	struct nodes *old = nodes_new(), *new = nodes_new();
	struct policy *p = policy();
	struct tlv_out o = { .len = 0 }, more = { .len = 0 };
	struct node *n;

	(void)state;
	nodes_apply(old, p, now);
	nodes_apply(new, p, now);
	n = nodes_find_name(old, "n2");
	n->connections = 3;
	p->nnodes--;
	nodes_apply(old, p, now);
	nodes_write(&o, old, now, true);
	n->connections = 0;
	node_unref(&n);
	nodes_sweep(old);
	nodes_write(&more, old, now, false);
	n = nodes_find_name(new, "n2");
	assert_int_equal(nodes_read(new, o.data, o.len, now), 0);
	assert_int_equal(n->before, 3);
	assert_int_equal(nodes_read(new, more.data, more.len, now), 0);
	assert_int_equal(n->before, 0);
	node_unref(&n);
	tlv_out_fini(&o);
	tlv_out_fini(&more);
	nodes_free(&old);
	nodes_free(&new);
	p->nnodes++;
	policy_unref(&p);
}

/* It answers the new process at once, and is not up for that; but once its time is over there. */
static void
flapping(void **state)
{
	struct nodes *old = nodes_new(), *new = nodes_new();
	struct policy *p = policy();
	struct tlv_out o = { .len = 0 };
	struct node *n;

	(void)state;
	nodes_apply(old, p, now);
	nodes_apply(new, p, now);
	n = nodes_find_name(old, "n1");
	n->health = NODE_DOWN;
	n->held_down = true;
	n->hold_ms = now + 9000;
	n->changed_ms = now - 500;
	nodes_write(&o, old, now, true);
	node_unref(&n);
	n = nodes_find_name(new, "n1");
	n->health = NODE_UP;
	assert_int_equal(nodes_read(new, o.data, o.len, now), 0);
	assert_true(n->health == NODE_DOWN && n->held_down && n->hold_ms == now + 9000);
	n->health = NODE_UP;
	n->held_down = false;
	assert_int_equal(nodes_read(new, o.data, o.len, now), 0);
	assert_true(n->health == NODE_UP && !n->held_down);
	node_unref(&n);
	tlv_out_fini(&o);
	nodes_free(&old);
	nodes_free(&new);
	policy_unref(&p);
}

static int
read_traffic_of(void *arg, const void *p, size_t n)
{
	return traffic_read(arg, p, n);
}

static void
traffic(void **state)
{
	struct traffic *sum = calloc(1, sizeof(*sum)), *told = calloc(1, sizeof(*told));
	struct nodes *old = nodes_new(), *new = nodes_new();
	struct policy *p = policy();
	struct tlv_out o = { .len = 0 };
	uint64_t bytes[TRAFFIC_WAYS] = { 1000, 0 };

	(void)state;
	nodes_apply(old, p, now);
	snprintf(p->nodes[0].name, sizeof(p->nodes[0].name), "other");
	nodes_apply(new, p, now);
	sum->bytes[0][TRAFFIC_TO_NODE] = 4;
	sum->bytes[1][TRAFFIC_TO_CLIENT] = 1ULL << 50;
	sum->bytes[2][TRAFFIC_TO_NODE] = 77;
	traffic_write(&o, old, sum, told);
	assert_int_equal(traffic_read(new, o.data, o.len), 0);
	tlv_out_fini(&o);
	sum->bytes[2][TRAFFIC_TO_NODE] = 80;
	traffic_write(&o, old, sum, told);
	assert_int_equal(traffic_read(new, o.data, o.len), 0);
	lie(&o, lie_nodes, old);
	tlv_out_fini(&o);
	/* There n2 is 2 as well; n1 has no node, and comes to be 3. */
	nodes_moved_before(new, 2, bytes);
	assert_true(bytes[TRAFFIC_TO_NODE] == 1080 && bytes[TRAFFIC_TO_CLIENT] == 0);
	nodes_moved_before(new, 3, bytes);
	assert_int_equal(bytes[TRAFFIC_TO_CLIENT], 1ULL << 50);
	assert_string_equal(nodes_name(new, 3), "n1");
	nodes_moved_before(new, 0, bytes);
	assert_int_equal(bytes[TRAFFIC_TO_NODE], 1084);
	unknown(read_traffic_of, new);
	nodes_free(&old);
	nodes_free(&new);
	policy_unref(&p);
	free(sum);
	free(told);
}

/* Claims. */

struct claimed {
	char node[STATE_NODE_LEN];
	unsigned others;
	bool firm;
};

static void
answer_cb(void *arg, const struct state_claim *c)
{
	struct claimed *x = arg;

	assert_non_null(c);
	memcpy(x->node, c->node, sizeof(x->node));
	x->others = c->others;
	x->firm = c->firm;
}

static struct state_hold *
claim(struct state *s, uint8_t who, const char *node, struct claimed *x)
{
	struct state_key key = { .b = { STATE_KEY_GUID, who } };
	struct state_hold *h;

	state_claim(s, &key, node, node, answer_cb, x, &h);
	assert_non_null(h);
	return h;
}

/* Where that client is; "new" if nobody knows. */
static const char *
where(struct state *s, uint8_t who, struct claimed *x)
{
	struct state_hold *h = claim(s, who, "new", x);

	state_release(s, &h, 0);
	return x->node;
}

static void
lie_claims(void *arg, const void *p, size_t n)
{
	struct local_map *m = local_map_new(100, test_clock);
	struct state *s = local_state_new(m);
	struct inherit *i = inherit_new(s);

	(void)arg;
	(void)!inherit_read(i, p, n);
	inherit_free(&i, 0);
	state_free(&s);
	local_map_free(&m);
}

static int
read_claims(void *arg, const void *p, size_t n)
{
	return inherit_read(arg, p, n);
}

static void
claims(void **state)
{
	struct local_map *om = local_map_new(100, test_clock), *nm = local_map_new(100, test_clock);
	struct state *old = local_state_new(om), *new = local_state_new(nm);
	struct inherit *i = inherit_new(new);
	struct state_hold *lingers, *live, *fresh, *mine;
	struct tlv_out o = { .len = 0 };
	struct claimed x;

	(void)state;
	lingers = claim(old, 1, "n1", &x);
	state_firm(old, lingers, 0);
	state_release(old, &lingers, 60000);
	live = claim(old, 2, "n2", &x);
	state_firm(old, live, 0);
	fresh = claim(old, 3, "n3", &x);
	now += 10000;
	claims_write(&o, old, true);
	assert_int_equal(inherit_read(i, o.data, o.len), 0);
	inherit_whole(i, 5000);
	lie(&o, lie_claims, NULL);
	tlv_out_fini(&o);
	assert_int_equal(inherit_count(i), 2);
	assert_string_equal(where(new, 2, &x), "n2");
	assert_true(x.others == 1 && x.firm);
	assert_string_equal(where(new, 3, &x), "n3");
	assert_true(x.others == 1 && !x.firm);
	assert_string_equal(where(new, 1, &x), "n1");
	assert_true(x.others == 0 && x.firm);
	/* 2 moves over: it is held by a connection of ours, and then no longer by the old one. */
	mine = claim(new, 2, "n9", &x);
	assert_string_equal(x.node, "n2");
	state_settle(new, mine);
	state_firm(new, mine, 0);
	state_release(old, &live, 0);
	claims_write(&o, old, true);
	assert_int_equal(inherit_read(i, o.data, o.len), 0);
	inherit_whole(i, 5000);
	tlv_out_fini(&o);
	assert_int_equal(inherit_count(i), 1);
	assert_string_equal(where(new, 2, &x), "n2");
	assert_int_equal(x.others, 1);
	state_release(new, &mine, 1000);
	/* As long as it had left, but for 2, of which the old one's connection was no linger's. */
	now += 49000;
	assert_string_equal(where(new, 1, &x), "n1");
	assert_string_equal(where(new, 2, &x), "new");
	now += 2000;
	assert_string_equal(where(new, 1, &x), "new");
	/* It dies: whatever it had not logged on is gone, as its connection is. */
	inherit_free(&i, 5000);
	assert_string_equal(where(new, 3, &x), "new");
	state_release(old, &fresh, 0);
	state_free(&old);
	i = inherit_new(new);
	unknown(read_claims, i);
	inherit_free(&i, 0);
	state_free(&new);
	local_map_free(&om);
	local_map_free(&nm);
}

/* It dies while clients live on it. */
static void
died(void **state)
{
	struct local_map *om = local_map_new(100, test_clock), *nm = local_map_new(2, test_clock);
	struct state *old = local_state_new(om), *new = local_state_new(nm);
	struct inherit *i = inherit_new(new);
	struct tlv_out o = { .len = 0 };
	struct state_hold *h[3];
	struct claimed x;

	(void)state;
	for (uint8_t k = 0; k < 3; k++) {
		h[k] = claim(old, k, "n1", &x);
		state_firm(old, h[k], 0);
	}
	claims_write(&o, old, true);
	/* A map that is full holds what it can. */
	assert_int_equal(inherit_read(i, o.data, o.len), 0);
	inherit_whole(i, 5000);
	assert_int_equal(inherit_count(i), 3);
	now += 100000;
	inherit_free(&i, 5000);
	now += 4000;
	assert_string_equal(where(new, 0, &x), "n1");
	now += 2000;
	assert_string_equal(where(new, 0, &x), "new");
	for (int k = 0; k < 3; k++)
		state_release(old, &h[k], 0);
	tlv_out_fini(&o);
	state_free(&old);
	state_free(&new);
	local_map_free(&om);
	local_map_free(&nm);
}

#define MANY 300000

static void
count_claim(void *arg, const struct state_key *key, const struct state_claim *c, uint64_t left_ms)
{
	(void)key;
	(void)c;
	(void)left_ms;
	++*(size_t *)arg;
}

/* As the other process sends it; how many claims are here then. */
static size_t
handed(struct estate *e, struct state *s, const struct tlv_out *o)
{
	struct takemsg m = { .kind = TAKE_STATE, .what = 8 };
	size_t at = 0, n = 0;

	do {
		m.number = o->len - at < TAKE_PIECE ? o->len - at : TAKE_PIECE;
		if (m.number > 0)
			memcpy(m.piece, o->data + at, m.number);
		at += m.number;
		estate_heard(e, &m);
	} while (m.number == TAKE_PIECE);
	s->ops->each(s, count_claim, &n);
	return n;
}

/* As many as a map may have, which are more than any other record. */
static void
many(void **state)
{
	struct local_map *om = local_map_new(MANY, test_clock);
	struct local_map *nm = local_map_new(MANY, test_clock);
	struct state *old = local_state_new(om), *new = local_state_new(nm);
	struct policy *p = policy();
	const struct ctl_status status = { .policy = p };
	const struct ctl_env env = { .claims = new, .status = &status };
	struct estate *e = estate_new(&env);
	struct tlv_out o = { .len = 0 };
	struct state_hold *live;
	struct claimed x;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct state_key key = { .b = { STATE_KEY_GUID } };

		memcpy(key.b + 1, &i, sizeof(i));
		state_claim(old, &key, "node-a=10.1.2.3:445", "", answer_cb, &x, &live);
		state_firm(old, live, 0);
		if (i < MANY - 1)
			state_release(old, &live, 60000);
	}
	claims_write(&o, old, true);
	assert_false(o.bad);
	assert_int_equal(handed(e, new, &o), MANY);
	/* The one that is live is no longer named: it lingers, as the others do. */
	now += 60001;
	tlv_out_fini(&o);
	assert_int_equal(handed(e, new, &o), 1);
	/* One that lies is passed over to its end, and the next one is read. */
	now += 100000000;
	tlv_put_uint(&o, 0x7abc, 1);
	for (int i = 0; i < 100000; i++)
		tlv_put_uint(&o, 0x7abc | TLV_OPTIONAL, 1);
	claims_write(&o, old, true);
	assert_int_equal(handed(e, new, &o), 0);
	tlv_out_fini(&o);
	claims_write(&o, old, true);
	assert_int_equal(handed(e, new, &o), 1);
	tlv_out_fini(&o);
	state_release(old, &live, 0);
	estate_free(&e);
	policy_unref(&p);
	state_free(&old);
	state_free(&new);
	local_map_free(&om);
	local_map_free(&nm);
}

/* The shared map. */

static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)label;
	(void)a;
	(void)an;
	(void)b;
	(void)bn;
	memset(out, *(const int *)arg, 32);
	return 0;
}

static void
lie_shared(void *arg, const void *p, size_t n)
{
	(void)!shared_read(arg, p, n);
}

static int
read_shared(void *arg, const void *p, size_t n)
{
	return shared_read(arg, p, n);
}

static void
map_counts(void **state)
{
	static const int one = 1;
	const struct record_seal seal = { .arg = &one, .mac = mac };
	struct link_conf conf = { .timeout_ms = 1000 };
	struct shared *old = shared_new(&conf, &seal, 10), *new = shared_new(&conf, &seal, 10);
	struct tlv_out o = { .len = 0 };

	(void)state;
	shared_stats(old)->asked = 17;
	shared_stats(old)->waited[SHARED_WAITS - 1] = 4;
	fault_add(shared_faults(old), FAULT_TIMEOUT);
	shared_write(&o, old);
	assert_int_equal(shared_read(new, o.data, o.len), 0);
	assert_true(shared_stats(new)->asked == 17 &&
	    shared_stats(new)->waited[SHARED_WAITS - 1] == 4 &&
	    shared_faults(new)->count[FAULT_TIMEOUT] == 1);
	lie(&o, lie_shared, new);
	tlv_out_fini(&o);
	unknown(read_shared, new);
	shared_free(&old);
	shared_free(&new);
}

static void
lie_exceptions(void *arg, const void *p, size_t n)
{
	(void)!shared_read_exceptions(arg, p, n);
}

static int
read_exceptions(void *arg, const void *p, size_t n)
{
	return shared_read_exceptions(arg, p, n);
}

static void
map_exceptions(void **state)
{
	static const int one = 1;
	const struct record_seal seal = { .arg = &one, .mac = mac };
	struct link_conf conf = { .timeout_ms = 1000 };
	struct shared *old = shared_new(&conf, &seal, 10), *new = shared_new(&conf, &seal, 10);
	struct tlv_out o = { .len = 0 };
	uint8_t id[NAMES_ID_LEN] = { 0 };
	struct record r;

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		id[0] = i;
		record_make(&r, &seal, "claim", id, sizeof(id), 500, "n1=10.0.0.1:445");
		assert_int_equal(shared_note_exception(old, id, r.bytes, r.len), 0);
		if (i == 2)
			assert_int_equal(shared_note_exception(new, id, r.bytes, r.len), 0);
	}
	/* With Redis there, the next one asks that. */
	shared_online(old, true, false);
	shared_write_exceptions(&o, old);
	assert_int_equal(o.len, 0);
	shared_online(old, false, false);
	shared_write_exceptions(&o, old);
	assert_int_equal(shared_read_exceptions(new, o.data, o.len), 0);
	assert_int_equal(shared_exceptions(new), 3);
	lie(&o, lie_exceptions, new);
	tlv_out_fini(&o);
	unknown(read_exceptions, new);
	/* Neither whose it is, nor where. */
	tlv_put(&o, 1, "", 0);
	assert_int_equal(shared_read_exceptions(new, o.data, o.len), -1);
	tlv_out_fini(&o);
	shared_free(&old);
	shared_free(&new);
}

static void
lie_homes(void *arg, const void *p, size_t n)
{
	(void)!homes_read(arg, p, n);
}

static int
read_homes(void *arg, const void *p, size_t n)
{
	return homes_read(arg, p, n);
}

static void
homes(void **state)
{
	struct nodes *old = nodes_new(), *new = nodes_new();
	struct policy *p = policy();
	struct tlv_out o = { .len = 0 };
	struct node *a, *b;

	(void)state;
	nodes_apply(old, p, now);
	a = nodes_find_name(old, "n1");
	a->drain = true;
	assert_true(nodes_agree(old));
	a->drain = false;
	node_unref(&a);
	homes_write(&o, old);
	nodes_apply(new, p, now);
	assert_true(nodes_agree(new));
	a = nodes_find_name(new, "n1");
	b = nodes_find_name(new, "n2");
	assert_int_equal(a->home_weight, 1);
	assert_int_equal(homes_read(new, o.data, o.len), 0);
	assert_true(a->agreed && a->home_weight == 0 && b->agreed && b->home_weight == 1);
	lie(&o, lie_homes, new);
	tlv_out_fini(&o);
	/* Who is not named is nobody's home. */
	assert_int_equal(homes_read(new, "", 0), 0);
	assert_true(!b->agreed && b->home_weight == 0);
	unknown(read_homes, new);
	node_unref(&a);
	node_unref(&b);
	policy_unref(&p);
	nodes_free(&old);
	nodes_free(&new);
}

/* What operators have said. */

static void
left_cb(void *arg)
{
	(void)arg;
}

struct drains {
	struct drainer *d;
	struct nodes *nodes;
};

static int
read_drains(void *arg, const void *p, size_t n)
{
	struct drains *x = arg;

	return drainer_read(x->d, x->nodes, p, n);
}

static void
lie_drains(void *arg, const void *p, size_t n)
{
	(void)!read_drains(arg, p, n);
}

static struct drains
drains_new(struct event_base *base, const struct policy *p)
{
	const struct drainer_env env = { .base = base, .left = left_cb };
	struct drains x = { .d = drainer_new(&env), .nodes = nodes_new() };

	assert_non_null(x.d);
	nodes_apply(x.nodes, p, now);
	return x;
}

static void
drains_free(struct drains *x)
{
	drainer_free(&x->d);
	nodes_free(&x->nodes);
}

static void
orders(void **state)
{
	const struct stand quiet = { STAND_DRAIN, 1000, 3600000 }, maint = { .kind = STAND_MAINT };
	struct event_base *base = event_base_new();
	struct policy *p = policy();
	struct drains old = drains_new(base, p), new = drains_new(base, p),
	              liar = drains_new(base, p);
	struct tlv_out o = { .len = 0 };
	struct node *a, *b;

	(void)state;
	a = nodes_find_name(old.nodes, "n1");
	b = nodes_find_name(old.nodes, "n2");
	drainer_node(old.d, a, &quiet, false, 500000);
	drainer_node(old.d, b, &maint, true, 0);
	drainer_order(old.d, b, 1700000000000);
	drainer_write(&o, old.d, now);
	node_unref(&a);
	node_unref(&b);
	assert_int_equal(read_drains(&new, o.data, o.len), 0);
	a = nodes_find_name(new.nodes, "n1");
	b = nodes_find_name(new.nodes, "n2");
	assert_true(a->drain && !a->maint_operator && drainer_has(new.d, a, &quiet, 1));
	assert_true(b->drain && b->maint_operator);
	assert_true(drainer_has(new.d, b, &maint, 1700000000000));
	assert_false(drainer_has(new.d, b, &maint, 1700000000001));
	assert_false(drainer_leaving(new.d));
	node_unref(&a);
	node_unref(&b);
	lie(&o, lie_drains, &liar);
	tlv_out_fini(&o);
	drainer_leave(old.d, &quiet);
	drainer_write(&o, old.d, now);
	assert_int_equal(read_drains(&new, o.data, o.len), 0);
	assert_true(drainer_leaving(new.d));
	unknown(read_drains, &new);
	tlv_out_fini(&o);
	drains_free(&old);
	drains_free(&new);
	drains_free(&liar);
	event_base_free(base);
	policy_unref(&p);
}

static int
read_level(void *arg, const void *p, size_t n)
{
	return loglevel_read(arg, p, n);
}

static void
lie_level(void *arg, const void *p, size_t n)
{
	(void)!loglevel_read(arg, p, n);
}

static void
levels(void **state)
{
	const enum log_level before = log_get_level();
	struct event_base *base = event_base_new();
	struct loglevel *l = loglevel_new(base, NULL, LOG_LEVEL_INFO), *again;
	struct tlv_out o = { .len = 0 };

	(void)state;
	/* Nobody has said anything: smbgate.conf counts, which may be another one now. */
	loglevel_write(&o, l, 1);
	assert_int_equal(o.len, 0);
	tlv_put_text(&o, 1, "error");
	tlv_put_text(&o, 2, "debug");
	tlv_put_uint(&o, 3, 100000);
	assert_int_equal(loglevel_read(l, o.data, o.len), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	tlv_out_fini(&o);
	loglevel_write(&o, l, 1);
	again = loglevel_new(base, NULL, LOG_LEVEL_INFO);
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(loglevel_read(again, o.data, o.len), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	lie(&o, lie_level, again);
	tlv_out_fini(&o);
	tlv_put_text(&o, 1, "warning");
	assert_int_equal(loglevel_read(again, o.data, o.len), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
	tlv_put_text(&o, 1, "loud");
	assert_int_equal(loglevel_read(again, o.data, o.len), -1);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
	tlv_out_fini(&o);
	unknown(read_level, again);
	loglevel_free(&l);
	loglevel_free(&again);
	event_base_free(base);
	log_set_level(before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters), cmocka_unit_test(refusals),
		cmocka_unit_test(states),
		cmocka_unit_test(flapping), cmocka_unit_test(traffic),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(claims), cmocka_unit_test(died), cmocka_unit_test(many),
		cmocka_unit_test(map_counts), cmocka_unit_test(map_exceptions),
		cmocka_unit_test(homes),
		cmocka_unit_test(orders),
		cmocka_unit_test(levels),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("daemon-inherit", tests, NULL, NULL);
}
