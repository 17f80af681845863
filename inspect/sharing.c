/* sharing.c: the keys of sessions, given to other proxies and had from them, wrapped */
#include "config.h"

#include "inspect/sharing.h"

#include "auth/cluster.h"
#include "auth/keys.h"
#include "auth/secret.h"
#include "base/magic.h"
#include "inspect/env.h"
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

#define SHARING_MAGIC 0x73686172u

struct sharing {
	MAGIC_MEMBER
	struct mediate_env *env;
	uint64_t session_id;
	char node[STATE_NODE_LEN];
	struct state_query *query;	/* NULL: nothing is waited for */
	bool elsewhere;
	struct smbkeys *keys;
	void (*wake)(void *arg);
	void *arg;
};

static bool
possible(const struct mediate_env *env)
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

void
sharing_put(struct mediate_env *env, uint64_t session_id, const char *node,
    const struct smbkeys *keys)
{
	uint8_t text[TEXT_LEN] = { keys != NULL }, wrapped[WRAPPED_LEN];
	struct state_fact f = { .bytes = wrapped, .len = sizeof(wrapped) };
	char ad[BOUND_MAX];

	if (!possible(env))
		return;
	if (keys != NULL)
		smbkeys_put(keys, text + 1);
	snprintf(f.node, sizeof(f.node), "%s", node);
	if (cluster_wrap(env->secret, ad, bound_to(ad, session_id, node), text, sizeof(text),
	        wrapped) == 0)
		state_fact_put(env->state, session_id, &f);
	explicit_bzero(text, sizeof(text));
}

void
sharing_drop(struct mediate_env *env, uint64_t session_id, const char *node)
{
	if (possible(env))
		state_fact_drop(env->state, session_id, node);
}

/* One node's fact. False: it is not one of ours. */
static bool
sharing_take(struct sharing *s, const struct state_fact *f)
{
	uint8_t text[TEXT_LEN];
	char ad[BOUND_MAX];

	if (f->len != WRAPPED_LEN ||
	    cluster_unwrap(s->env->secret, ad, bound_to(ad, s->session_id, f->node), f->bytes,
	        f->len, text) == -1)
		return false;
	if (strcmp(f->node, s->node) == 0 && text[0] == 1)
		s->keys = smbkeys_get(text + 1);
	explicit_bzero(text, sizeof(text));
	return true;
}

static void
sharing_facts_cb(void *arg, const struct state_fact *facts, size_t n)
{
	struct sharing *s = arg;
	bool here = false;

	MAGIC_CHECK(s, SHARING_MAGIC);
	s->query = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!sharing_take(s, &facts[i]))
			continue;
		if (strcmp(facts[i].node, s->node) == 0)
			here = true;
		else
			s->elsewhere = true;
	}
	if (here)
		s->elsewhere = false;
	if (s->keys != NULL)
		stats_add(s->env->stats, STAT_keys_fetched, 1);
	s->wake(s->arg);
}

bool
sharing_ask(struct sharing **sp, struct mediate_env *env, uint64_t session_id, const char *node,
    void (*wake)(void *arg), void *arg)
{
	struct sharing *s = *sp;

	if (s != NULL && s->session_id == session_id)
		return s->query != NULL;
	sharing_free(sp);
	if (!possible(env) || (s = calloc(1, sizeof(*s))) == NULL)
		return false;
	*sp = s;
	MAGIC_SET(s, SHARING_MAGIC);
	s->env = env;
	s->session_id = session_id;
	snprintf(s->node, sizeof(s->node), "%s", node);
	s->wake = wake;
	s->arg = arg;
	s->query = state_fact_ask(env->state, session_id, sharing_facts_cb, s);
	return s->query != NULL;
}

struct smbkeys *
sharing_keys(const struct sharing *s, uint64_t session_id)
{
	return s == NULL || s->session_id != session_id ? NULL : smbkeys_ref(s->keys);
}

bool
sharing_elsewhere(const struct sharing *s, uint64_t session_id)
{
	return s != NULL && s->session_id == session_id && s->elsewhere;
}

void
sharing_free(struct sharing **sp)
{
	struct sharing *s = *sp;

	if (s == NULL)
		return;
	state_fact_forget(s->env->state, &s->query);
	smbkeys_unref(&s->keys);
	MAGIC_CLEAR(s);
	free(s);
	*sp = NULL;
}
