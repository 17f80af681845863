/* ended.c: sessions that are over, told to other proxies, and by them */
#include "config.h"

#include "inspect/ended.h"

#include "auth/cluster.h"
#include "auth/keys.h"
#include "auth/secret.h"
#include "base/rd.h"
#include "base/wr.h"
#include "inspect/env.h"
#include "inspect/session.h"
#include "inspect/sharing.h"
#include "nodes/node.h"

#include <string.h>

/*
 * In the clear: which of the two, the session's number and node; then what it is known by, its
 * signing key, or the new session that has named it. Fields that are not used are zero.
 */
enum { ENDED_OVER = 1, ENDED_NAMED };

#define KEY_LEN sizeof(((struct signkey *)0)->key)
#define TEXT_LEN (1 + 8 + STATE_NODE_LEN + KEY_LEN + 1 + 16 + SESSION_TEXT_MAX)
#define WRAPPED_LEN (TEXT_LEN + CLUSTER_WRAP_EXTRA)
/* What it is bound to: it is nothing else that is wrapped. */
static const char bound[] = "over";

_Static_assert(WRAPPED_LEN <= STATE_FACT_MAX, "one can be told");

/* A text of at most n - 1 bytes, and zeros. */
static void
put_text(struct wr *w, const char *text, size_t n)
{
	const size_t len = text == NULL ? 0 : strnlen(text, n - 1);

	wr_bytes(w, text == NULL ? "" : text, len);
	wr_zero(w, n - len);
}

static void
tell(struct mediate_env *env, uint8_t *text, const struct wr *w)
{
	uint8_t wrapped[WRAPPED_LEN];

	if (wr_ok(w) && wr_len(w) == TEXT_LEN &&
	    cluster_wrap(env->secret, bound, sizeof(bound), text, TEXT_LEN, wrapped) == 0)
		state_tell(env->state, wrapped, sizeof(wrapped));
	explicit_bzero(text, TEXT_LEN);
}

void
ended_tell(struct mediate_env *env, uint64_t session_id, const struct node *node,
    const struct smbkeys *keys)
{
	uint8_t text[TEXT_LEN];
	struct wr w = wr_init(text, sizeof(text));

	if (keys == NULL || !sharing_possible(env))
		return;
	wr_u8(&w, ENDED_OVER);
	wr_u64(&w, session_id);
	put_text(&w, node->id, STATE_NODE_LEN);
	wr_bytes(&w, keys->signing.key, KEY_LEN);
	wr_zero(&w, TEXT_LEN - wr_len(&w));
	tell(env, text, &w);
}

void
ended_tell_previous(struct mediate_env *env, uint64_t previous, const struct session_info *si)
{
	uint8_t text[TEXT_LEN];
	struct wr w = wr_init(text, sizeof(text));

	if (!sharing_possible(env))
		return;
	wr_u8(&w, ENDED_NAMED);
	wr_u64(&w, previous);
	put_text(&w, si->node->id, STATE_NODE_LEN);
	wr_zero(&w, KEY_LEN);
	wr_u8(&w, si->keyed);
	wr_bytes(&w, si->client_guid.b, sizeof(si->client_guid.b));
	put_text(&w, si->principal, SESSION_TEXT_MAX);
	tell(env, text, &w);
}

/* r is behind the node. */
static bool
end_it(struct sesstab *t, const struct ended_session *e, const struct node *n, uint8_t how,
    struct rd *r)
{
	struct session_info si = { .node = n };
	char principal[SESSION_TEXT_MAX];
	uint8_t key[KEY_LEN];
	bool over;

	rd_copy(r, key, sizeof(key));
	si.keyed = rd_u8(r) != 0;
	rd_copy(r, si.client_guid.b, sizeof(si.client_guid.b));
	rd_copy(r, principal, sizeof(principal));
	principal[sizeof(principal) - 1] = '\0';
	si.principal = principal[0] == '\0' ? NULL : principal;
	over = how == ENDED_OVER ? sesstab_end_of(t, e->session_id, n, key)
	                         : sesstab_replaced(t, e->session_id, &si);
	explicit_bzero(key, sizeof(key));
	return over;
}

int
ended_heard(const struct secret *secret, struct sesstab *t, struct nodes *nodes, const void *bytes,
    size_t len, struct ended_session *e)
{
	uint8_t text[TEXT_LEN], how;
	struct node *n;
	struct rd r = rd_init(text, sizeof(text));
	bool over = false;

	if (secret == NULL || secret->len == 0 || len != WRAPPED_LEN ||
	    cluster_unwrap(secret, bound, sizeof(bound), bytes, len, text) == -1)
		return -1;
	how = rd_u8(&r);
	e->session_id = rd_u64(&r);
	rd_copy(&r, e->node, sizeof(e->node));
	e->node[sizeof(e->node) - 1] = '\0';
	n = nodes_find(nodes, e->node);
	if (n != NULL)
		over = end_it(t, e, n, how, &r);
	node_unref(&n);
	explicit_bzero(text, sizeof(text));
	return over;
}
