/* inherit.c: how nodes are, and what was counted of them, as one process hands it to the next */
#include "config.h"

#include "nodes/inherit.h"

#include "base/tlv.h"
#include "nodes/node.h"
#include "nodes/traffic.h"
#include "policy/policy.h"

#include <string.h>

/* Types are never used again for something else. Times are ages, in ms; what is not there is 0. */
enum {
	NODES_NODE = 1,
	NODE_ID = 1,
	NODE_HEALTH = 2,
	NODE_CHANGED = 3,
	NODE_UP_SINCE = 4,
	NODE_ANSWERED = 5,
	NODE_HELD_DOWN = 6,
	NODE_AGENT_WORD = 7,
	NODE_AGENT_PERCENT = 8,
	NODE_AGENT_WHY = 9,
	NODE_AGENT_MS = 10,
	NODE_LEAVE = 11,
	NODE_DIALECT = 12,
	NODE_ANSWER = 13,
	NODE_PROBE_US = 14,
	NODE_LOGON_HOLD = 15,	/* what is left of it */
	NODE_LOGONS_LOST = 16,
	NODE_DOUBT = 17 | TLV_OPTIONAL,
	NODE_WAY_OUT = 18 | TLV_OPTIONAL,
	NODE_TRUSTED = 19 | TLV_OPTIONAL,
	NODE_GONE = 20 | TLV_OPTIONAL,
	NODE_HOLD = 21 | TLV_OPTIONAL,	/* as NODE_LOGON_HOLD */
	NODE_STATE = 22 | TLV_OPTIONAL,
	NODE_STATE_MS = 23 | TLV_OPTIONAL,
	NODE_CONNECTIONS = 24 | TLV_OPTIONAL,
	NODE_COUNTS = 32,	/* and one for each count */
};

enum {
	ANSWER_SECURITY_MODE = 1,
	ANSWER_GUID = 2,
	ANSWER_CAPABILITIES = 3,
	ANSWER_MAX_TRANSACT = 4,
	ANSWER_MAX_READ = 5,
	ANSWER_MAX_WRITE = 6,
	ANSWER_BLOB = 7,
};

enum { HOMES_NODE = 1, HOME_ID = 1, HOME_WEIGHT = 2 };

enum { TRAFFIC_NODE = 1, TRAFFIC_NAME = 1, TRAFFIC_WAY = 2 };

/* Longer ago than that is never; no sum overflows. */
#define AGE_MAX_MS (1ULL << 48)

static _Atomic uint64_t *
node_count(struct node *n, unsigned i)
{
	switch (i) {
	case 0:
		return &n->logons;
	case 1:
		return &n->logons_failed;
	case 2:
		return &n->logon_timeouts;
	case 3:
		return &n->probes;
	case 4:
		return &n->probe_failures;
	case 5:
		return &n->probe_no_way;
	}
	return NULL;
}
_Static_assert(NODE_COUNTED == 6, "each count has its type");

static void
put_age(struct tlv_out *o, uint16_t type, uint64_t at_ms, uint64_t now_ms)
{
	if (at_ms != 0)
		tlv_put_uint(o, type, at_ms < now_ms ? now_ms - at_ms : 0);
}

static uint64_t
get_age(struct tlv_in *in, uint64_t now_ms)
{
	uint64_t age = tlv_uint(in, AGE_MAX_MS);

	return in->bad || age >= now_ms ? 0 : now_ms - age;
}

static void
write_answer(struct tlv_out *o, const struct neg2_resp *r)
{
	size_t at = tlv_begin(o, NODE_ANSWER);

	tlv_put_uint(o, ANSWER_SECURITY_MODE, r->security_mode);
	tlv_put(o, ANSWER_GUID, &r->server_guid, sizeof(r->server_guid));
	tlv_put_uint(o, ANSWER_CAPABILITIES, r->capabilities);
	tlv_put_uint(o, ANSWER_MAX_TRANSACT, r->max_transact);
	tlv_put_uint(o, ANSWER_MAX_READ, r->max_read);
	tlv_put_uint(o, ANSWER_MAX_WRITE, r->max_write);
	tlv_put(o, ANSWER_BLOB, r->blob, r->blob_len);
	tlv_end(o, at);
}

static void
write_state(struct tlv_out *o, const struct node *n, uint64_t now_ms)
{
	tlv_put_uint(o, NODE_HEALTH, n->health);
	put_age(o, NODE_CHANGED, n->changed_ms, now_ms);
	put_age(o, NODE_UP_SINCE, n->up_since_ms, now_ms);
	put_age(o, NODE_ANSWERED, n->answered_ms, now_ms);
	tlv_put_uint(o, NODE_HELD_DOWN, n->held_down);
	tlv_put_uint(o, NODE_AGENT_WORD, n->agent_word);
	tlv_put_uint(o, NODE_AGENT_PERCENT, n->agent_percent);
	tlv_put_text(o, NODE_AGENT_WHY, n->agent_why);
	put_age(o, NODE_AGENT_MS, n->agent_ms, now_ms);
	tlv_put_uint(o, NODE_LEAVE, n->leave);
	tlv_put_uint(o, NODE_DIALECT, n->dialect);
	tlv_put_uint(o, NODE_PROBE_US, n->probe_us);
	if (n->logon_hold_ms > now_ms)
		tlv_put_uint(o, NODE_LOGON_HOLD, n->logon_hold_ms - now_ms);
	tlv_put_uint(o, NODE_LOGONS_LOST, n->logons_lost);
	put_age(o, NODE_DOUBT, n->doubt_ms, now_ms);
	put_age(o, NODE_WAY_OUT, n->way_out_ms, now_ms);
	put_age(o, NODE_TRUSTED, n->trusted_ms, now_ms);
	tlv_put_uint(o, NODE_GONE, n->gone);
	if (n->hold_ms > now_ms)
		tlv_put_uint(o, NODE_HOLD, n->hold_ms - now_ms);
	tlv_put_text(o, NODE_STATE, n->state);
	put_age(o, NODE_STATE_MS, n->state_ms, now_ms);
	if (n->answered)
		write_answer(o, &n->answer);
}

void
nodes_write(struct tlv_out *o, struct nodes *n, uint64_t now_ms, bool all)
{
	struct node *list[2 * POL_NODES_MAX];
	size_t k = nodes_all(n, list, 2 * POL_NODES_MAX);

	for (size_t i = 0; i < k; i++) {
		struct node *x = list[i];
		size_t at = tlv_begin(o, NODES_NODE);

		tlv_put_text(o, NODE_ID, x->id);
		write_state(o, x, now_ms);
		tlv_put_uint(o, NODE_CONNECTIONS, (uint64_t)x->connections + x->before);
		for (unsigned c = 0; c < NODE_COUNTED; c++) {
			uint64_t now = *node_count(x, c), told = all ? 0 : x->told[c];

			if (now > told)
				tlv_put_uint(o, (uint16_t)(NODE_COUNTS + c), now - told);
			x->told[c] = now;
		}
		tlv_end(o, at);
		node_unref(&list[i]);
	}
}

/* As much as was read of one node. */
struct node_read {
	char id[STATE_NODE_LEN];
	unsigned health, lost;
	bool held_down, leave, answered, gone;
	uint64_t changed_ms, up_since_ms, answered_ms, agent_ms, probe_us, logon_hold_ms, hold_ms;
	uint64_t doubt_ms, way_out_ms, trusted_ms, state_ms;
	char state[NODE_STATE_LEN];
	struct agent_says agent;
	uint16_t dialect;
	struct neg2_resp answer;
	uint64_t count[NODE_COUNTED];
	unsigned connections;
};

static void
read_answer(struct tlv_in *in, struct neg2_resp *r)
{
	struct tlv_in x = tlv_sub(in);

	while (tlv_next(&x)) {
		switch (x.type) {
		case ANSWER_SECURITY_MODE:
			r->security_mode = (uint16_t)tlv_uint(&x, UINT16_MAX);
			break;
		case ANSWER_GUID:
			tlv_copy(&x, &r->server_guid, sizeof(r->server_guid));
			break;
		case ANSWER_CAPABILITIES:
			r->capabilities = (uint32_t)tlv_uint(&x, UINT32_MAX);
			break;
		case ANSWER_MAX_TRANSACT:
			r->max_transact = (uint32_t)tlv_uint(&x, UINT32_MAX);
			break;
		case ANSWER_MAX_READ:
			r->max_read = (uint32_t)tlv_uint(&x, UINT32_MAX);
			break;
		case ANSWER_MAX_WRITE:
			r->max_write = (uint32_t)tlv_uint(&x, UINT32_MAX);
			break;
		case ANSWER_BLOB:
			r->blob = x.value;
			r->blob_len = x.n;
			x.bad |= x.n > NODE_BLOB_MAX;
			break;
		default:
			tlv_unknown(&x);
		}
	}
	in->bad |= x.bad;
}

/* What its agent says. False: the type is another one. */
static bool
read_agent(struct tlv_in *x, struct node_read *r, uint64_t now_ms)
{
	switch (x->type) {
	case NODE_AGENT_WORD:
		r->agent.word = (enum agent_word)tlv_uint(x, AGENT_WORDS - 1);
		return true;
	case NODE_AGENT_PERCENT:
		r->agent.percent = (unsigned)tlv_uint(x, 10000);
		return true;
	case NODE_AGENT_WHY:
		tlv_text(x, r->agent.why, sizeof(r->agent.why));
		return true;
	case NODE_AGENT_MS:
		r->agent_ms = get_age(x, now_ms);
		return true;
	case NODE_LEAVE:
		r->leave = tlv_uint(x, 1) == 1;
		return true;
	}
	return false;
}

/* Whether it answers. False: the type is another one. */
static bool
read_doubt(struct tlv_in *x, struct node_read *r, uint64_t now_ms)
{
	switch (x->type) {
	case NODE_DOUBT:
		r->doubt_ms = get_age(x, now_ms);
		return true;
	case NODE_WAY_OUT:
		r->way_out_ms = get_age(x, now_ms);
		return true;
	case NODE_TRUSTED:
		r->trusted_ms = get_age(x, now_ms);
		return true;
	case NODE_GONE:
		r->gone = tlv_uint(x, 1) == 1;
		return true;
	case NODE_HOLD:
		r->hold_ms = now_ms + tlv_uint(x, AGE_MAX_MS);
		return true;
	}
	return false;
}

static void
read_state(struct tlv_in *x, struct node_read *r, uint64_t now_ms)
{
	switch (x->type) {
	case NODE_HEALTH:
		r->health = (unsigned)tlv_uint(x, NODE_LOOP);
		break;
	case NODE_CHANGED:
		r->changed_ms = get_age(x, now_ms);
		break;
	case NODE_UP_SINCE:
		r->up_since_ms = get_age(x, now_ms);
		break;
	case NODE_ANSWERED:
		r->answered_ms = get_age(x, now_ms);
		break;
	case NODE_HELD_DOWN:
		r->held_down = tlv_uint(x, 1) == 1;
		break;
	case NODE_DIALECT:
		r->dialect = (uint16_t)tlv_uint(x, UINT16_MAX);
		break;
	case NODE_PROBE_US:
		r->probe_us = tlv_uint(x, AGE_MAX_MS);
		break;
	case NODE_LOGON_HOLD:
		r->logon_hold_ms = now_ms + tlv_uint(x, AGE_MAX_MS);
		break;
	case NODE_LOGONS_LOST:
		r->lost = (unsigned)tlv_uint(x, UINT16_MAX);
		break;
	case NODE_STATE:
		tlv_text(x, r->state, sizeof(r->state));
		break;
	case NODE_STATE_MS:
		r->state_ms = get_age(x, now_ms);
		break;
	default:
		tlv_unknown(x);
	}
}

static void
read_node(struct tlv_in *in, struct node_read *r, uint64_t now_ms)
{
	struct tlv_in x = tlv_sub(in);

	*r = (struct node_read){ .agent = { .percent = 100 } };
	while (tlv_next(&x)) {
		if (x.type == NODE_ID) {
			tlv_text(&x, r->id, sizeof(r->id));
		} else if (x.type == NODE_ANSWER) {
			r->answered = true;
			read_answer(&x, &r->answer);
		} else if (x.type == NODE_CONNECTIONS) {
			r->connections = (unsigned)tlv_uint(&x, UINT32_MAX);
		} else if (x.type >= NODE_COUNTS && x.type < NODE_COUNTS + NODE_COUNTED) {
			r->count[x.type - NODE_COUNTS] = tlv_uint(&x, INT64_MAX);
		} else if (!read_agent(&x, r, now_ms) && !read_doubt(&x, r, now_ms)) {
			read_state(&x, r, now_ms);
		}
	}
	in->bad |= x.bad;
}

/* The older doubt counts; both are of one node that has answered neither process since. */
static void
node_doubt_resume(struct node *n, const struct node_read *r)
{
	if (r->doubt_ms != 0 && (n->doubt_ms == 0 || r->doubt_ms < n->doubt_ms))
		n->doubt_ms = r->doubt_ms;
	if (r->way_out_ms != 0 && n->doubt_ms != 0)
		n->way_out_ms = r->way_out_ms;
	n->trusted_ms = r->trusted_ms;
	n->gone = n->gone || (r->gone && n->doubt_ms != 0);
}

/*
 * Nobody has asked it yet: it is as it was. So it is, too, where it has answered and was to stay
 * down nevertheless.
 */
static void
node_resume(struct node *n, const struct node_read *r)
{
	const bool kept_down = r->held_down && !n->resumed;
	struct neg2_resp answer = r->answer;

	if (!n->resumed && r->state_ms != 0) {
		snprintf(n->state, sizeof(n->state), "%s", r->state);
		n->state_ms = r->state_ms;
	}
	n->resumed = true;
	if ((n->health == NODE_UNKNOWN || kept_down) && r->health != NODE_LOOP) {
		n->health = r->health;
		n->changed_ms = r->changed_ms;
		n->up_since_ms = r->up_since_ms;
		n->answered_ms = r->answered_ms;
		n->held_down = r->held_down;
		n->probe_us = r->probe_us;
		n->hold_ms = r->hold_ms;
		n->logon_hold_ms = r->logon_hold_ms;
		n->logons_lost = r->lost;
		node_doubt_resume(n, r);
	}
	if (n->agent_ms == 0 && r->agent_ms != 0) {
		n->agent_ms = r->agent_ms;
		n->leave = r->leave;
		node_agent_says(n, &r->agent);
	}
	if (n->dialect != 0 || r->dialect == 0)
		return;
	answer.dialect = r->dialect;
	if (r->answered || r->dialect == NODE_DIALECT_SMB1)
		node_learn(n, r->answered ? &answer : NULL);
	n->dialect = r->dialect;
}

int
nodes_read(struct nodes *nodes, const void *record, size_t len, uint64_t now_ms)
{
	struct tlv_in in = tlv_in(record, len);
	struct node_read r;
	struct node *n;

	/* Every node is named each time that it has somebody: no other has. */
	nodes_nobody_before(nodes);
	while (tlv_next(&in)) {
		if (in.type != NODES_NODE) {
			tlv_unknown(&in);
			continue;
		}
		read_node(&in, &r, now_ms);
		n = in.bad ? NULL : nodes_find(nodes, r.id);
		if (n == NULL)
			continue;
		node_resume(n, &r);
		n->before = r.connections;
		for (unsigned c = 0; c < NODE_COUNTED; c++)
			atomic_fetch_add(node_count(n, c), r.count[c]);
		node_unref(&n);
	}
	return in.bad ? -1 : 0;
}

void
nodes_nobody_before(struct nodes *n)
{
	struct node *list[2 * POL_NODES_MAX];
	size_t k = nodes_all(n, list, 2 * POL_NODES_MAX);

	while (k > 0) {
		list[--k]->before = 0;
		node_unref(&list[k]);
	}
}

void
homes_write(struct tlv_out *o, struct nodes *n)
{
	struct node *list[2 * POL_NODES_MAX];
	const size_t k = nodes_all(n, list, 2 * POL_NODES_MAX);

	for (size_t i = 0; i < k; i++) {
		struct node *x = list[i];

		if (x->agreed) {
			size_t at = tlv_begin(o, HOMES_NODE);

			tlv_put_text(o, HOME_ID, x->id);
			tlv_put_uint(o, HOME_WEIGHT, x->home_weight);
			tlv_end(o, at);
		}
		node_unref(&list[i]);
	}
}

static void
no_homes(struct nodes *n)
{
	struct node *list[2 * POL_NODES_MAX];
	const size_t k = nodes_all(n, list, 2 * POL_NODES_MAX);

	for (size_t i = 0; i < k; i++) {
		list[i]->agreed = false;
		list[i]->home_weight = 0;
		node_unref(&list[i]);
	}
}

static void
read_home(struct tlv_in *in, struct nodes *n)
{
	struct tlv_in x = tlv_sub(in);
	char id[STATE_NODE_LEN] = "";
	unsigned weight = 0;
	struct node *node;

	while (tlv_next(&x)) {
		if (x.type == HOME_ID)
			tlv_text(&x, id, sizeof(id));
		else if (x.type == HOME_WEIGHT)
			weight = (unsigned)tlv_uint(&x, UINT32_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	node = in->bad ? NULL : nodes_find(n, id);
	if (node == NULL)
		return;
	node->agreed = true;
	node->home_weight = weight;
	node_unref(&node);
}

int
homes_read(struct nodes *n, const void *record, size_t len)
{
	struct tlv_in in = tlv_in(record, len);

	no_homes(n);
	while (tlv_next(&in)) {
		if (in.type == HOMES_NODE)
			read_home(&in, n);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}

void
traffic_write(struct tlv_out *o, struct nodes *n, const struct traffic *sum, struct traffic *told)
{
	for (unsigned i = 0; i < nodes_names(n); i++) {
		size_t at = tlv_begin(o, TRAFFIC_NODE);

		tlv_put_text(o, TRAFFIC_NAME, nodes_name(n, i));
		for (unsigned way = 0; way < TRAFFIC_WAYS; way++) {
			uint64_t now = sum->bytes[i][way], before = told->bytes[i][way];

			if (now <= before)
				continue;
			tlv_put_uint(o, (uint16_t)(TRAFFIC_WAY + way), now - before);
			told->bytes[i][way] = now;
		}
		tlv_end(o, at);
	}
}

static void
read_traffic(struct tlv_in *in, struct nodes *n)
{
	uint64_t more[TRAFFIC_WAYS] = { 0 };
	struct tlv_in x = tlv_sub(in);
	char name[64] = "";

	while (tlv_next(&x)) {
		if (x.type == TRAFFIC_NAME)
			tlv_text(&x, name, sizeof(name));
		else if (x.type >= TRAFFIC_WAY && x.type < TRAFFIC_WAY + TRAFFIC_WAYS)
			more[x.type - TRAFFIC_WAY] = tlv_uint(&x, INT64_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	if (!in->bad)
		nodes_add_moved(n, name, more);
}

int
traffic_read(struct nodes *n, const void *record, size_t len)
{
	struct tlv_in in = tlv_in(record, len);

	while (tlv_next(&in)) {
		if (in.type == TRAFFIC_NODE)
			read_traffic(&in, n);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}
