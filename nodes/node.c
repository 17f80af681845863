/* node.c: the running side of a cluster node: state, load, what its NEGOTIATE answer said */
#include "config.h"

#include "nodes/node.h"

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
};

struct nodes *
nodes_new(void)
{
	struct nodes *n = calloc(1, sizeof(*n));

	if (n != NULL)
		pthread_mutex_init(&n->lock, NULL);
	return n;
}

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
	pthread_mutex_destroy(&n->lock);
	free(n);
	*np = NULL;
}

static void
node_id(const char *name, const struct addrport *address, char id[STATE_NODE_LEN])
{
	char text[ADDR_STRLEN];

	snprintf(id, STATE_NODE_LEN, "%.60s=%.60s", name, addrport_str(address, text));
}

static struct node *
node_find(struct nodes *n, const char *id)
{
	for (struct node *x = n->head; x != NULL; x = x->next)
		if (strcmp(x->id, id) == 0)
			return x;
	return NULL;
}

/* In the order of the policy: new ones go to the end. */
static struct node *
node_add(struct nodes *n, const struct pol_node *pn, const char *id, uint64_t now_ms)
{
	struct node *x = calloc(1, sizeof(*x));
	struct node **at = &n->head;

	if (x == NULL)
		return NULL;
	snprintf(x->id, sizeof(x->id), "%s", id);
	snprintf(x->name, sizeof(x->name), "%s", pn->name);
	x->address = pn->address;
	x->refs = 1;
	x->table = n;
	x->changed_ms = now_ms;
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

		node_id(pn->name, &pn->address, id);
		x = node_find(n, id);
		if (x == NULL)
			x = node_add(n, pn, id, now_ms);
		if (x == NULL)
			continue;
		x->weight = pn->weight;
		x->maint = pn->state == POL_NODE_MAINT;
		x->drain_policy = pn->state == POL_NODE_DRAIN;
		x->listed = true;
	}
	pthread_mutex_unlock(&n->lock);
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

	node_id(pn->name, &pn->address, id);
	return nodes_find(n, id);
}

bool
node_is(const struct node *n, const struct pol_node *pn)
{
	char id[STATE_NODE_LEN];

	node_id(pn->name, &pn->address, id);
	return strcmp(n->id, id) == 0;
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

size_t
nodes_all(struct nodes *n, struct node **dst, size_t max)
{
	size_t k = 0;

	pthread_mutex_lock(&n->lock);
	for (struct node *x = n->head; x != NULL && k < max; x = x->next)
		dst[k++] = node_ref(x);
	pthread_mutex_unlock(&n->lock);
	return k;
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

static bool
alive(const struct node *n)
{
	return (n->health == NODE_UNKNOWN || n->health == NODE_UP) && !n->gone;
}

bool
node_takes_new(const struct node *n)
{
	return n->listed && !n->maint && !n->drain && !n->drain_policy && alive(n);
}

bool
node_takes_more(const struct node *n)
{
	return n->health != NODE_DOWN && n->health != NODE_LOOP && !n->gone;
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
	return n->weight * share;
}

const char *
node_state(const struct node *n)
{
	if (n->maint)
		return "maint";
	if (n->health == NODE_DOWN || n->gone)
		return "down";
	if (n->health == NODE_HUNG)
		return "hung";
	if (n->health == NODE_LOOP)
		return "loop";
	if (!n->listed)
		return "removed";
	if (n->drain || n->drain_policy)
		return "drain";
	return n->health == NODE_UNKNOWN ? "unknown" : "up";
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
node_learn(struct node *n, const struct neg2_resp *r)
{
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
nodes_answer(struct nodes *n, struct neg2_resp *r, uint8_t blob[NODE_BLOB_MAX])
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
		if (!x->answered || !node_takes_new(x))
			continue;
		*r = x->answer;
		memcpy(blob, x->blob, x->answer.blob_len);
		break;
	}
	pthread_mutex_unlock(&n->lock);
	r->blob = blob;
}
