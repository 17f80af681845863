/* exchange.c: the exchanges of one worker: which message may come when, and its answer */
#include "config.h"

#include "keyd/exchange.h"

#include "base/hash.h"
#include "keyd/keys.h"
#include "keyd/krb5.h"
#include "keyd/ntlm.h"
#include "keyd/rules.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>
#include <uthash.h>

/*
 *	NONE ──AP_REQ──► OPENED ──AP_REP──► NONE
 *	 │   └─────────► WAITING ──AP_REP──► WAITING_BOTH	(for a newer keytab)
 *	 └─CHALLENGE──► CHALLENGED ──AUTH──► NONE
 */
enum stage {
	NONE,			/* no such exchange, or no more */
	OPENED,
	WAITING,
	WAITING_BOTH,
	CHALLENGED,
};

struct token {
	uint8_t *p;
	size_t n;
};

struct exchange {
	uint64_t id;
	enum stage stage;
	uint64_t born_ms;
	struct kerb_ap *ap;				/* OPENED */
	struct token req, rep;				/* WAITING, WAITING_BOTH */
	struct nokey why;
	uint8_t challenge[NTLM_CHALLENGE_LEN];		/* CHALLENGED */
	TAILQ_ENTRY(exchange) entry;
	UT_hash_handle hh;
};

TAILQ_HEAD(exchange_list, exchange);

struct exchanges {
	const struct exchange_env *env;
	void (*answer)(void *arg, const struct keymsg *m);
	void *arg;
	struct exchange *by_id;
	struct exchange_list by_age;
	size_t n, nwaiting;
};

/* What a handler is given. x is NULL in stage NONE. */
struct request {
	struct exchanges *e;
	struct keyd_keys *keys;
	struct exchange *x;
	const struct keymsg *m;
	uint64_t now;
};

struct exchanges *
exchanges_new(const struct exchange_env *env,
    void (*answer)(void *arg, const struct keymsg *m), void *arg)
{
	struct exchanges *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->env = env;
	e->answer = answer;
	e->arg = arg;
	TAILQ_INIT(&e->by_age);
	return e;
}

static void
token_free(struct token *t)
{
	free(t->p);
	*t = (struct token){ .n = 0 };
}

static bool
is_waiting(const struct exchange *x)
{
	return x->stage == WAITING || x->stage == WAITING_BOTH;
}

static void
drop(struct exchanges *e, struct exchange *x)
{
	e->nwaiting -= is_waiting(x);
	e->n--;
	assert(e->by_id != NULL);
	HASH_DEL(e->by_id, x);
	TAILQ_REMOVE(&e->by_age, x, entry);
	kerb_ap_free(&x->ap);
	token_free(&x->req);
	token_free(&x->rep);
	OPENSSL_cleanse(x, sizeof(*x));
	free(x);
}

void
exchanges_free(struct exchanges **e)
{
	struct exchange *x;

	if (*e == NULL)
		return;
	while ((x = TAILQ_FIRST(&(*e)->by_age)) != NULL)
		drop(*e, x);
	free(*e);
	*e = NULL;
}

static void
answer_key(const struct exchanges *e, uint64_t id, struct keyd_answer *a)
{
	if (a->key_len > 0)
		rules_count(e->env->rules, KEYD_KEYS, NULL);
	e->answer(e->arg, &(struct keymsg){
		.type = KEYMSG_KEY,
		.id = id,
		.mutual = a->mutual,
		.data = a->key,
		.len = a->key_len,
		.text = a->principal,
		.text_len = strlen(a->principal),
	});
	OPENSSL_cleanse(a, sizeof(*a));
}

static const struct nokey no_memory = { NOKEY_other, "out of memory" },
                          too_many = { NOKEY_other, "too many logons at once" },
                          forgotten = { NOKEY_other, "forgotten" },
                          too_old = { NOKEY_other, "too old" },
                          not_asked = { NOKEY_other, "an AP-REP that nobody asked for" };

static void
answer_fail(const struct exchanges *e, uint64_t id, const struct nokey *why)
{
	e->answer(e->arg, &(struct keymsg){
		.type = KEYMSG_FAIL,
		.id = id,
		.cause = (uint8_t)why->cause,
		.text = why->text,
		.text_len = strlen(why->text),
	});
}

/* Workers ask when the node has let somebody in, and it has said so with its AP-REP. */
static void
count_no_reply(const struct exchanges *e, const struct exchange *x)
{
	char text[KEYD_WHY + KEYMSG_TEXT_MAX];

	if (x->stage != OPENED || !kerb_ap_withheld(x->ap))
		return;
	snprintf(text, sizeof(text), "a worker asked about a ticket of %s without its AP-REP",
	    kerb_ap_principal(x->ap));
	rules_count(e->env->rules, KEYD_NO_REPLY, text);
}

/* Nobody is to wait for the end of it: each request that was not answered is answered now. */
static void
drop_unanswered(struct exchanges *e, struct exchange *x, const struct nokey *why)
{
	count_no_reply(e, x);
	if (is_waiting(x))
		answer_fail(e, x->id, why);
	if (x->stage == WAITING_BOTH)
		answer_fail(e, x->id, why);
	drop(e, x);
}

/* NULL: out of memory, and said so. */
static struct exchange *
add(struct request *r, enum stage stage)
{
	struct exchanges *e = r->e;
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		answer_fail(e, r->m->id, &no_memory);
		return NULL;
	}
	if (e->n >= EXCHANGES_MAX)
		drop_unanswered(e, TAILQ_FIRST(&e->by_age), &too_many);
	x->id = r->m->id;
	x->stage = stage;
	x->born_ms = r->now;
	HASH_ADD(hh, e->by_id, id, sizeof(x->id), x);
	if (!hash_has(x)) {
		free(x);
		answer_fail(e, r->m->id, &no_memory);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&e->by_age, x, entry);
	e->n++;
	e->nwaiting += is_waiting(x);
	return x;
}

static int
token_copy(struct token *t, const struct keymsg *m)
{
	t->p = malloc(m->len);
	if (t->p == NULL)
		return -1;
	memcpy(t->p, m->data, m->len);
	t->n = m->len;
	return 0;
}

static void
wait_for_keytab(struct request *r, const struct nokey *why)
{
	struct exchanges *e = r->e;
	struct exchange *x;

	if (e->nwaiting >= EXCHANGES_WAITING_MAX) {
		answer_fail(e, r->m->id, why);
		return;
	}
	x = add(r, WAITING);
	if (x == NULL)
		return;
	x->why = *why;
	if (token_copy(&x->req, r->m) == -1)
		drop_unanswered(e, x, &no_memory);
}

static enum kerb_result
open_ap_req(const struct exchanges *e, struct keyd_keys *keys, const uint8_t *p, size_t n,
    struct keyd_answer *a, struct kerb_ap **ap, struct nokey *why)
{
	*ap = NULL;
	if (keys->kerb != NULL)
		return kerb_ap_req(e->env->kerb, keys->kerb, e->env->rules, p, n, a, ap, why);
	*why = keys->why;
	return KERB_NO_KEY;
}

static void
do_ap_req(struct request *r)
{
	struct keyd_answer a = { .mutual = false };
	struct nokey why;
	struct exchange *x;
	struct kerb_ap *ap;

	rules_count(r->e->env->rules, KEYD_ASKED, NULL);
	switch (open_ap_req(r->e, r->keys, r->m->data, r->m->len, &a, &ap, &why)) {
	case KERB_OPENED:
		if (ap != NULL) {
			x = add(r, OPENED);
			if (x == NULL) {
				kerb_ap_free(&ap);
				break;
			}
			x->ap = ap;
		}
		answer_key(r->e, r->m->id, &a);
		break;
	case KERB_NO_KEY:
		wait_for_keytab(r, &why);
		break;
	case KERB_BAD:
		answer_fail(r->e, r->m->id, &why);
		break;
	}
	OPENSSL_cleanse(&a, sizeof(a));
}

static void
finish_ap_rep(struct exchanges *e, struct exchange *x, const uint8_t *p, size_t n)
{
	struct keyd_answer a;
	struct nokey why;

	if (kerb_ap_rep(x->ap, e->env->rules, p, n, &a, &why) == 0)
		answer_key(e, x->id, &a);
	else
		answer_fail(e, x->id, &why);
	OPENSSL_cleanse(&a, sizeof(a));
	drop(e, x);
}

static void
do_ap_rep(struct request *r)
{
	if (r->x->stage == OPENED) {
		finish_ap_rep(r->e, r->x, r->m->data, r->m->len);
		return;
	}
	r->x->stage = WAITING_BOTH;
	if (token_copy(&r->x->rep, r->m) == -1)
		drop_unanswered(r->e, r->x, &no_memory);
}

static void
do_challenge(struct request *r)
{
	uint8_t challenge[NTLM_CHALLENGE_LEN];
	struct nokey why;
	struct exchange *x;

	/* It is not answered; the AUTH will fail as one without a CHALLENGE. */
	if (ntlm_challenge_get(challenge, r->m->data, r->m->len, &why) == -1)
		return;
	x = add(r, CHALLENGED);
	if (x != NULL)
		memcpy(x->challenge, challenge, sizeof(challenge));
}

static void
answer_no_ntlm(const struct request *r)
{
	struct nokey why;

	nokey_say(&why, NOKEY_mechanism, "%s", r->e->env->no_ntlm);
	answer_fail(r->e, r->m->id, &why);
}

static void
do_auth(struct request *r)
{
	const struct exchange_env *env = r->e->env;
	struct keyd_answer a;
	struct nokey why;

	rules_count(env->rules, KEYD_ASKED, NULL);
	if (r->keys->kerb == NULL)
		answer_fail(r->e, r->m->id, &r->keys->why);
	else if (env->no_ntlm[0] != '\0')
		answer_no_ntlm(r);
	else if (ntlm_open(&r->keys->hashes, env->rules, r->x->challenge, r->m->data, r->m->len,
	             &a, &why) == 0)
		answer_key(r->e, r->m->id, &a);
	else
		answer_fail(r->e, r->m->id, &why);
	drop(r->e, r->x);
}

static void
do_forget(struct request *r)
{
	if (r->x != NULL)
		drop_unanswered(r->e, r->x, &forgotten);
}

#define IN(stage) (1u << (stage))

static const struct {
	unsigned allowed;
	bool answered;
	void (*handle)(struct request *r);
} requests[KEYMSG_TYPES] = {
	[KEYMSG_AP_REQ] = { IN(NONE), true, do_ap_req },
	[KEYMSG_AP_REP] = { IN(OPENED) | IN(WAITING), true, do_ap_rep },
	[KEYMSG_NTLM_CHALLENGE] = { IN(NONE), false, do_challenge },
	[KEYMSG_NTLM_AUTH] = { IN(CHALLENGED), true, do_auth },
	[KEYMSG_FORGET] = { ~0u, false, do_forget },
};

void
exchanges_take(struct exchanges *e, struct keyd_keys *keys, const struct keymsg *m,
    uint64_t now_ms)
{
	struct request r = { .e = e, .keys = keys, .m = m, .now = now_ms };
	struct nokey why;

	HASH_FIND(hh, e->by_id, &m->id, sizeof(m->id), r.x);
	if ((requests[m->type].allowed & IN(r.x == NULL ? NONE : r.x->stage)) != 0) {
		requests[m->type].handle(&r);
		return;
	}
	/* It costs this exchange, and nobody else's. */
	if (r.x == NULL)
		nokey_say(&why, NOKEY_keyd_died, "this smbgate-keyd knows nothing of that logon");
	else
		nokey_say(&why, NOKEY_other, "%s out of order", keymsg_name(m->type));
	if (r.x != NULL)
		drop_unanswered(e, r.x, &why);
	if (requests[m->type].answered)
		answer_fail(e, m->id, &why);
}

bool
exchanges_waiting(const struct exchanges *e)
{
	return e->nwaiting > 0;
}

static void
retry(struct exchanges *e, struct exchange *x, struct keyd_keys *keys)
{
	bool both = x->stage == WAITING_BOTH;
	struct token rep = x->rep;
	struct keyd_answer a = { .mutual = false };
	struct nokey why;

	if (open_ap_req(e, keys, x->req.p, x->req.n, &a, &x->ap, &why) != KERB_OPENED) {
		drop_unanswered(e, x, &why);
		return;
	}
	token_free(&x->req);
	x->rep = (struct token){ .n = 0 };
	e->nwaiting--;
	x->stage = OPENED;
	answer_key(e, x->id, &a);
	if (x->ap != NULL && both) {
		finish_ap_rep(e, x, rep.p, rep.n);
	} else if (x->ap == NULL) {
		if (both)
			answer_fail(e, x->id, &not_asked);
		drop(e, x);
	}
	token_free(&rep);
}

void
exchanges_retry(struct exchanges *e, struct keyd_keys *keys)
{
	struct exchange *x, *next;

	for (x = TAILQ_FIRST(&e->by_age); x != NULL && e->nwaiting > 0; x = next) {
		struct nokey why;

		next = TAILQ_NEXT(x, entry);
		if (!is_waiting(x))
			continue;
		if (keys != NULL) {
			retry(e, x, keys);
		} else {
			why = x->why;
			drop_unanswered(e, x, &why);
		}
	}
}

bool
exchanges_expire(struct exchanges *e, uint64_t now_ms)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&e->by_age)) != NULL && now_ms - x->born_ms >= EXCHANGE_LIFE_MS)
		drop_unanswered(e, x, &too_old);
	return e->n > 0;
}
