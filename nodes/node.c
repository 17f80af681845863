/* node.c: the running side of a cluster node: state, load, what its NEGOTIATE answer said */
#include "config.h"

#include "nodes/node.h"

#include "nodes/cluster.h"
#include "nodes/traffic.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Share of its weight that a node has in the first moment of its slow start. */
#define SLOW_START_FLOOR 0.1

struct nodes {
	pthread_mutex_t lock;	/* the list, the answers; a leaf */
	struct node *head;
	/* by traffic.h's number: they are only added to, and [0] is no node's */
	char (*names)[sizeof(((struct node *)0)->name)];
	unsigned nnames;
	struct traffic before;	/* of the process before this one; the main thread's */
};

void
nodes_free(struct nodes **np)
{
	struct nodes *n = *np;

	if (n == NULL)
		return;
	while (n->head != NULL) {
		struct node *x = n->head;

		n->head = x->next;
		free(x);
	}
	free(n->names);
	pthread_mutex_destroy(&n->lock);
	free(n);
	*np = NULL;
}

struct nodes *
nodes_new(void)
{
	struct nodes *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	pthread_mutex_init(&n->lock, NULL);
	n->names = calloc(TRAFFIC_NAMES_MAX, sizeof(*n->names));
	n->nnames = 1;
	if (n->names == NULL)
		nodes_free(&n);
	return n;
}

void
node_id(const struct pol_node *pn, char id[STATE_NODE_LEN])
{
	char text[ADDR_STRLEN];

	snprintf(id, STATE_NODE_LEN, "%.60s=%.60s", pn->name, addrport_str(&pn->address, text));
}

static struct node *
node_find(struct nodes *n, const char *id)
{
	for (struct node *x = n->head; x != NULL; x = x->next)
		if (strcmp(x->id, id) == 0)
			return x;
	return NULL;
}

/* 0: there is none left. */
static uint16_t
name_number(struct nodes *n, const char *name)
{
	for (unsigned i = 1; i < n->nnames; i++)
		if (strcmp(n->names[i], name) == 0)
			return (uint16_t)i;
	if (n->nnames == TRAFFIC_NAMES_MAX)
		return 0;
	snprintf(n->names[n->nnames], sizeof(n->names[0]), "%s", name);
	return (uint16_t)n->nnames++;
}

/* In the order of the policy: new ones go to the end. */
static struct node *
node_add(struct nodes *n, const struct pol_node *pn, const char *id, uint64_t now_ms)
{
	struct node *x = calloc(1, sizeof(*x));
	struct node **at = &n->head;

	if (x == NULL)
		return NULL;
	x->traffic = name_number(n, pn->name);
	snprintf(x->id, sizeof(x->id), "%s", id);
	snprintf(x->name, sizeof(x->name), "%s", pn->name);
	x->address = pn->address;
	x->alone = cluster_alone(id);
	x->refs = 1;
	x->table = n;
	x->changed_ms = x->state_ms = now_ms;
	x->agent_percent = 100;
	while (*at != NULL)
		at = &(*at)->next;
	*at = x;
	return x;
}

void
nodes_apply(struct nodes *n, const struct policy *p, uint64_t now_ms)
{
	char id[STATE_NODE_LEN];

	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL; x = x->next)
		x->listed = false;
	for (size_t i = 0; i < p->nnodes; i++) {
		const struct pol_node *pn = &p->nodes[i];
		struct node *x;

		node_id(pn, id);
		x = node_find(n, id);
		if (x == NULL)
			x = node_add(n, pn, id, now_ms);
		if (x == NULL)
			continue;
		x->weight = pn->weight;
		x->cluster = cluster_number(pn->cluster);
		x->maint = pn->state == POL_NODE_MAINT;
		x->drain_policy = pn->state == POL_NODE_DRAIN;
		x->listed = true;
	}
	pthread_mutex_unlock(&n->lock);
}

unsigned
node_home_weight(const struct node *n)
{
	return n->listed && !n->maint && !n->drain && !n->drain_policy ? n->weight : 0;
}

bool
nodes_agree(struct nodes *n)
{
	bool changed = false;

	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL; x = x->next) {
		unsigned weight = node_home_weight(x);

		changed |= x->agreed != x->listed || x->home_weight != weight;
		atomic_store(&x->agreed, atomic_load(&x->listed));
		x->home_weight = weight;
	}
	pthread_mutex_unlock(&n->lock);
	return changed;
}

void
nodes_sweep(struct nodes *n)
{
	pthread_mutex_lock(&n->lock);
	for (struct node **at = &n->head; *at != NULL;) {
		struct node *x = *at;

		/* One reference is the table's; nobody can take another without the lock. */
		if (!x->listed && x->refs == 1) {
			*at = x->next;
			free(x);
		} else {
			at = &x->next;
		}
	}
	pthread_mutex_unlock(&n->lock);
}

unsigned
nodes_names(struct nodes *n)
{
	unsigned k;

	pthread_mutex_lock(&n->lock);
	k = n->nnames;
	pthread_mutex_unlock(&n->lock);
	return k;
}

const char *
nodes_name(struct nodes *n, unsigned number)
{
	return n->names[number];
}

void
nodes_add_moved(struct nodes *n, const char *name, const uint64_t *bytes)
{
	uint16_t number = 0;

	if (name[0] != '\0') {
		pthread_mutex_lock(&n->lock);
		number = name_number(n, name);
		pthread_mutex_unlock(&n->lock);
	}
	for (unsigned way = 0; way < TRAFFIC_WAYS; way++)
		traffic_add(&n->before, number, way, bytes[way]);
}

void
nodes_moved_before(struct nodes *n, unsigned number, uint64_t *bytes)
{
	for (unsigned way = 0; way < TRAFFIC_WAYS; way++)
		bytes[way] += n->before.bytes[number][way];
}

struct node *
nodes_find(struct nodes *n, const char *id)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	x = node_find(n, id);
	if (x != NULL)
		node_ref(x);
	pthread_mutex_unlock(&n->lock);
	return x;
}

struct node *
nodes_find_policy(struct nodes *n, const struct pol_node *pn)
{
	char id[STATE_NODE_LEN];

	node_id(pn, id);
	return nodes_find(n, id);
}

bool
node_is(const struct node *n, const struct pol_node *pn)
{
	char id[STATE_NODE_LEN];

	node_id(pn, id);
	return strcmp(n->id, id) == 0;
}

struct node *
nodes_find_address(struct nodes *n, const struct addrport *a)
{
	struct node *found = NULL;

	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL; x = x->next)
		if (addr_equal(&x->address.addr, &a->addr) &&
		    (found == NULL || x->address.port == a->port))
			found = x;
	if (found != NULL)
		node_ref(found);
	pthread_mutex_unlock(&n->lock);
	return found;
}

struct node *
nodes_find_name(struct nodes *n, const char *name)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	for (x = n->head; x != NULL; x = x->next)
		if (x->listed && strcmp(x->name, name) == 0)
			break;
	if (x != NULL)
		node_ref(x);
	pthread_mutex_unlock(&n->lock);
	return x;
}

/* cluster NULL: of any. Those in the policy first: the others may be many. */
static size_t
nodes_list(struct nodes *n, const uint32_t *cluster, struct node **dst, size_t max)
{
	size_t k = 0;

	pthread_mutex_lock(&n->lock);
	for (int listed = 1; listed >= 0; listed--)
		for (struct node *x = n->head; x != NULL && k < max; x = x->next)
			if (x->listed == (listed == 1) &&
			    (cluster == NULL || node_in_cluster(x, *cluster)))
				dst[k++] = node_ref(x);
	pthread_mutex_unlock(&n->lock);
	return k;
}

size_t
nodes_all(struct nodes *n, struct node **dst, size_t max)
{
	return nodes_list(n, NULL, dst, max);
}

size_t
nodes_of_cluster(struct nodes *n, uint32_t cluster, struct node **dst, size_t max)
{
	return nodes_list(n, &cluster, dst, max);
}

uint32_t
node_cluster(const struct node *n, bool intercept)
{
	uint32_t c = n->cluster;

	return c == 0 && intercept ? n->alone : c;
}

bool
node_in_cluster(const struct node *n, uint32_t cluster)
{
	uint32_t c = n->cluster;

	return c == cluster || (c == 0 && n->alone == cluster);
}

bool
node_same_cluster(const struct node *a, const struct node *b, bool intercept)
{
	return a == b || node_cluster(a, intercept) == node_cluster(b, intercept);
}

struct node *
node_ref(struct node *n)
{
	atomic_fetch_add(&n->refs, 1);
	return n;
}

void
node_unref(struct node **np)
{
	/* The table holds the last one and frees in nodes_sweep(). */
	if (*np != NULL)
		atomic_fetch_sub(&(*np)->refs, 1);
	*np = NULL;
}

static struct stance
node_stance(const struct node *n)
{
	enum stance_order order = node_in_maint(n) ? STANCE_MAINT :
	    !n->listed ? STANCE_REMOVED :
	    n->drain || n->drain_policy ? STANCE_DRAIN : STANCE_ACTIVE;

	return stance_of(order, n->gone ? NODE_DOWN : (enum node_health)n->health,
	    (enum agent_word)n->agent_word);
}

bool
node_takes_new(const struct node *n)
{
	return node_stance(n).takes_new;
}

bool
node_lets_go(const struct node *n)
{
	return node_stance(n).lets_go;
}

void
node_agent_says(struct node *n, const struct agent_says *says)
{
	n->agent_word = says->word;
	n->agent_percent = says->percent;
	memcpy(n->agent_why, says->why, sizeof(n->agent_why));
}

bool
nodes_take_new(struct nodes *n, uint32_t cluster)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	for (x = n->head; x != NULL; x = x->next)
		if (node_takes_new(x) && node_in_cluster(x, cluster))
			break;
	pthread_mutex_unlock(&n->lock);
	return x != NULL;
}

bool
nodes_take_without(struct nodes *n, const struct node *without, bool intercept)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	for (x = n->head; x != NULL; x = x->next)
		if (x != without && node_takes_new(x) &&
		    node_same_cluster(x, without, intercept))
			break;
	pthread_mutex_unlock(&n->lock);
	return x != NULL;
}

bool
node_in_maint(const struct node *n)
{
	return n->maint || n->maint_operator;
}

bool
node_takes_more(const struct node *n)
{
	return node_stance(n).takes_more;
}

bool
node_takes_blindly(const struct node *n)
{
	/* One that hangs serves nobody: all proxies see that. */
	return node_stance(n).takes_blindly;
}

double
node_weight(const struct node *n, unsigned slow_start_ms, uint64_t now_ms)
{
	uint64_t since = n->up_since_ms, hold = n->logon_hold_ms;
	double share = 1.0;

	/* A hold that is over, and no logon has succeeded yet. */
	if (since < hold && hold <= now_ms)
		since = hold;
	if (since != 0 && now_ms - since < slow_start_ms) {
		share = (double)(now_ms - since) / slow_start_ms;
		if (share < SLOW_START_FLOOR)
			share = SLOW_START_FLOOR;
	}
	return n->weight * share * n->agent_percent / 100.0;
}

const char *
node_state(const struct node *n)
{
	return node_stance(n).state;
}

uint64_t
node_state_since(struct node *n, uint64_t now_ms)
{
	const char *state = node_state(n);
	const bool first = n->state[0] == '\0' ||
	    (strcmp(n->state, "unknown") == 0 && strcmp(state, "up") == 0);

	if (!first && strcmp(n->state, state) != 0)
		n->state_ms = now_ms;
	snprintf(n->state, sizeof(n->state), "%s", state);
	return n->state_ms;
}

void
node_probe_out(struct node *n, const struct guid *client_guid)
{
	pthread_mutex_lock(&n->table->lock);
	n->probing = true;
	n->probe = *client_guid;
	pthread_mutex_unlock(&n->table->lock);
}

void
node_probe_over(struct node *n)
{
	pthread_mutex_lock(&n->table->lock);
	n->probing = false;
	pthread_mutex_unlock(&n->table->lock);
}

bool
nodes_meet_probe(struct nodes *n, const struct guid *client_guid)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	for (x = n->head; x != NULL; x = x->next)
		if (x->probing && guid_equal(&x->probe, client_guid))
			break;
	if (x != NULL)
		x->met = true;
	pthread_mutex_unlock(&n->lock);
	return x != NULL;
}

void
node_logon(struct node *n, bool let_in)
{
	atomic_fetch_add_explicit(let_in ? &n->logons : &n->logons_failed, 1,
	    memory_order_relaxed);
}

void
node_learn(struct node *n, const struct neg2_resp *r)
{
	n->dialect = r != NULL ? r->dialect : NODE_DIALECT_SMB1;
	if (r == NULL)
		return;
	pthread_mutex_lock(&n->table->lock);
	n->answered = true;
	n->capabilities = r->capabilities;
	n->answer = *r;
	n->answer.dialect = n->answer.cipher = n->answer.signing = 0;
	n->answer.compression = false;
	n->answer.system_time = n->answer.start_time = 0;
	if (r->blob_len > NODE_BLOB_MAX)
		n->answer.blob_len = 0;
	if (n->answer.blob_len > 0)
		memcpy(n->blob, r->blob, n->answer.blob_len);
	n->answer.blob = n->blob;
	pthread_mutex_unlock(&n->table->lock);
}

uint32_t
node_capabilities(const struct node *n)
{
	return n->capabilities;
}

void
nodes_answer(struct nodes *n, uint32_t cluster, struct neg2_resp *r, uint8_t blob[NODE_BLOB_MAX])
{
	/* What any server allows; the client asks again in SMB2 and gets the node's own answer. */
	*r = (struct neg2_resp){
		.security_mode = SMB2_NEGOTIATE_SIGNING_ENABLED,
		.max_transact = 65536,
		.max_read = 65536,
		.max_write = 65536,
	};
	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL; x = x->next) {
		if (!x->answered || !node_takes_new(x) || !node_in_cluster(x, cluster))
			continue;
		*r = x->answer;
		memcpy(blob, x->blob, x->answer.blob_len);
		break;
	}
	pthread_mutex_unlock(&n->lock);
	r->blob = blob;
}

uint16_t
nodes_dialect(struct nodes *n, uint32_t cluster)
{
	uint16_t best = 0;

	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL; x = x->next) {
		uint16_t d = x->dialect;

		if (!node_takes_new(x) || !node_in_cluster(x, cluster))
			continue;
		if (d == 0)
			d = UINT16_MAX;
		if (d > best)
			best = d;
	}
	pthread_mutex_unlock(&n->lock);
	return best == 0 ? UINT16_MAX : best;
}
