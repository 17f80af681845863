/* sharing.c: the keys of sessions, given to other proxies and had from them, wrapped */
#include "config.h"

#include "inspect/sharing.h"

#include "auth/cluster.h"
#include "auth/keys.h"
#include "auth/keyx.h"
#include "auth/secret.h"
#include "base/magic.h"
#include "inspect/env.h"
#include "nodes/node.h"
#include "state/state.h"
#include "stats/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is wrapped: is there a key, and the keys. */
#define TEXT_LEN (1 + SMBKEYS_LEN)
#define WRAPPED_LEN (TEXT_LEN + CLUSTER_WRAP_EXTRA)
/* Of what it is bound to: "session", the number, the node, with a zero behind each. */
#define BOUND_MAX (8 + 17 + STATE_NODE_LEN)

/* Binds under way on one connection; of what is beyond that the first are opaque. */
#define SHARING_MAX 32

#define SHARING_MAGIC 0x73686172u

struct sharing {
	MAGIC_MEMBER
	struct sharing *next;		/* was asked for before */
	struct mediate *m;
	uint64_t session_id;
	struct state_query *query;	/* NULL: nothing is waited for */
	bool elsewhere;
	struct smbkeys *keys;
	void (*wake)(void *m);
};

bool
sharing_possible(const struct mediate_env *env)
{
	return env->state != NULL && env->state->ops->shared && env->secret != NULL &&
	    env->secret->len > 0;
}

static size_t
bound_to(char *dst, uint64_t session_id, const char *node)
{
	int n = snprintf(dst, BOUND_MAX, "session%c%016llx%c%s", 0, (unsigned long long)session_id,
	    0, node);

	return (size_t)n + 1;
}

static struct state_hold *
hold_of(const struct mediate *m)
{
	return m->env->hold == NULL ? NULL : m->env->hold(m->owner);
}

void
sharing_put(const struct mediate *m, uint64_t session_id, const struct smbkeys *keys)
{
	uint8_t text[TEXT_LEN] = { keys != NULL }, wrapped[WRAPPED_LEN];
	struct state_fact f = { .bytes = wrapped, .len = sizeof(wrapped) };
	struct state_hold *hold = hold_of(m);
	const char *node = m->node->id;
	char ad[BOUND_MAX];

	if (hold == NULL || !sharing_possible(m->env))
		return;
	if (keys != NULL)
		smbkeys_put(keys, text + 1);
	snprintf(f.node, sizeof(f.node), "%s", node);
	if (cluster_wrap(m->env->secret, ad, bound_to(ad, session_id, node), text, sizeof(text),
	        wrapped) == 0)
		state_fact_put(m->env->state, hold, session_id, &f);
	explicit_bzero(text, sizeof(text));
}

void
sharing_drop(struct mediate *m, uint64_t session_id)
{
	if (sharing_possible(m->env))
		state_fact_drop(m->env->state, session_id, m->node->id, true);
}

void
sharing_leave(struct mediate *m, uint64_t session_id)
{
	if (sharing_possible(m->env))
		state_fact_drop(m->env->state, session_id, m->node->id, false);
}

/* False: it is not one of ours. */
static bool
sharing_take(struct sharing *s, const struct state_fact *f)
{
	uint8_t text[TEXT_LEN];
	char ad[BOUND_MAX];

	if (f->len != WRAPPED_LEN ||
	    cluster_unwrap(s->m->env->secret, ad, bound_to(ad, s->session_id, f->node), f->bytes,
	        f->len, text) == -1)
		return false;
	if (strcmp(f->node, s->m->node->id) == 0 && text[0] == 1)
		s->keys = smbkeys_get(text + 1);
	explicit_bzero(text, sizeof(text));
	return true;
}

/* On another node; could the client be there? */
static bool
of_its_cluster(const struct mediate *m, const char *id)
{
	struct node *n;
	bool is;

	if (strcmp(id, m->node->id) == 0)
		return false;
	n = nodes_find(m->node->table, id);
	is = n != NULL && node_same_cluster(n, m->node, m->intercept);
	node_unref(&n);
	return is;
}

static void
sharing_fact_cb(void *arg, const struct state_fact *f)
{
	struct sharing *s = arg;

	MAGIC_CHECK(s, SHARING_MAGIC);
	s->query = NULL;
	if (f != NULL && sharing_take(s, f))
		s->elsewhere = of_its_cluster(s->m, f->node);
	if (s->keys != NULL)
		stats_add(s->m->env->stats, STAT_keys_fetched, 1);
	s->wake(s->m);
}

static const struct sharing *
sharing_of(const struct sharing *s, uint64_t session_id)
{
	while (s != NULL && s->session_id != session_id)
		s = s->next;
	return s;
}

static bool
is_owed(const struct sharing *s)
{
	return s->query != NULL || track_owed(&s->m->track, s->session_id);
}

static void
sharing_forget(struct sharing **link)
{
	struct sharing *s = *link;

	*link = s->next;
	state_fact_forget(s->m->env->state, &s->query);
	smbkeys_unref(&s->keys);
	MAGIC_CLEAR(s);
	free(s);
}

/* Room for one more. Once its bind is answered nobody comes back for what is known of a session. */
static void
sharing_prune(struct sharing **link)
{
	unsigned kept = 0;

	while (*link != NULL)
		if (kept < SHARING_MAX - 1 && is_owed(*link)) {
			link = &(*link)->next;
			kept++;
		} else {
			sharing_forget(link);
		}
}

bool
sharing_ask(struct sharing **sp, struct mediate *m, uint64_t session_id, void (*wake)(void *m))
{
	const struct sharing *known = sharing_of(*sp, session_id);
	struct state_hold *hold = hold_of(m);
	struct sharing *s;

	if (known != NULL)
		return known->query != NULL;
	sharing_prune(sp);
	if (hold == NULL || !sharing_possible(m->env) || (s = calloc(1, sizeof(*s))) == NULL)
		return false;
	MAGIC_SET(s, SHARING_MAGIC);
	s->m = m;
	s->session_id = session_id;
	s->wake = wake;
	s->next = *sp;
	*sp = s;
	s->query = state_fact_ask(m->env->state, hold, keyx_source(&m->self.client.addr),
	    session_id, sharing_fact_cb, s);
	if (s->query != NULL)
		return true;
	/* Too many ask; the next leg may. */
	sharing_forget(sp);
	return false;
}

bool
sharing_owed(const struct sharing *s)
{
	while (s != NULL && !is_owed(s))
		s = s->next;
	return s != NULL;
}

struct smbkeys *
sharing_keys(const struct sharing *s, uint64_t session_id)
{
	s = sharing_of(s, session_id);
	return s == NULL ? NULL : smbkeys_ref(s->keys);
}

bool
sharing_elsewhere(const struct sharing *s, uint64_t session_id)
{
	s = sharing_of(s, session_id);
	return s != NULL && s->elsewhere;
}

void
sharing_free(struct sharing **sp)
{
	while (*sp != NULL)
		sharing_forget(sp);
}
