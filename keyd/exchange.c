/* exchange.c: the exchanges of one worker: which message may come when, and its answer */
#include "config.h"

#include "keyd/exchange.h"

#include "keyd/keys.h"
#include "keyd/krb5.h"
#include "keyd/ntlm.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>
#include <uthash.h>

/*
 *	NEW ──AP_REQ──► OPENED ──AP_REP──► (gone)
 *	 │   └────────► WAITING ──AP_REP──► WAITING_BOTH	(for a newer keytab)
 *	 └─CHALLENGE──► CHALLENGED ──AUTH──► (gone)
 */
enum stage {
	NEW,			/* an id above all others */
	GONE,			/* no such exchange, or no more */
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
	char why[KEYD_WHY];
	uint8_t challenge[NTLM_CHALLENGE_LEN];		/* CHALLENGED */
	TAILQ_ENTRY(exchange) entry;
	UT_hash_handle hh;
};

TAILQ_HEAD(exchange_list, exchange);

struct exchanges {
	struct kerb *k;
	void (*answer)(void *arg, const struct keymsg *m);
	void *arg;
	struct exchange *by_id;
	struct exchange_list by_age;
	size_t n, nwaiting;
	uint64_t last_id;
};

/* What a handler is given. x is NULL in stages NEW and GONE. */
struct request {
	struct exchanges *e;
	struct keyd_keys *keys;
	struct exchange *x;
	const struct keymsg *m;
	uint64_t now;
};

struct exchanges *
exchanges_new(struct kerb *k, void (*answer)(void *arg, const struct keymsg *m), void *arg)
{
	struct exchanges *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->k = k;
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

static void
answer_fail(const struct exchanges *e, uint64_t id, const char *why)
{
	e->answer(e->arg, &(struct keymsg){
		.type = KEYMSG_FAIL,
		.id = id,
		.text = why,
		.text_len = strlen(why),
	});
}

/* NULL: out of memory, and said so. */
static struct exchange *
add(struct request *r, enum stage stage)
{
	struct exchanges *e = r->e;
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		answer_fail(e, r->m->id, "out of memory");
		return NULL;
	}
	if (e->n >= EXCHANGES_MAX)
		drop(e, TAILQ_FIRST(&e->by_age));
	x->id = r->m->id;
	x->stage = stage;
	x->born_ms = r->now;
	HASH_ADD(hh, e->by_id, id, sizeof(x->id), x);
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
wait_for_keytab(struct request *r, const char *why)
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
	snprintf(x->why, sizeof(x->why), "%s", why);
	if (token_copy(&x->req, r->m) == -1) {
		answer_fail(e, x->id, "out of memory");
		drop(e, x);
	}
}

static enum kerb_result
open_ap_req(const struct exchanges *e, struct keyd_keys *keys, const uint8_t *p, size_t n,
    struct keyd_answer *a, struct kerb_ap **ap, char why[KEYD_WHY])
{
	*ap = NULL;
	if (keys->kerb != NULL)
		return kerb_ap_req(e->k, keys->kerb, p, n, a, ap, why);
	memcpy(why, keys->why, KEYD_WHY);
	return KERB_NO_KEY;
}

static void
do_ap_req(struct request *r)
{
	struct keyd_answer a = { .mutual = false };
	char why[KEYD_WHY];
	struct exchange *x;
	struct kerb_ap *ap;

	switch (open_ap_req(r->e, r->keys, r->m->data, r->m->len, &a, &ap, why)) {
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
		wait_for_keytab(r, why);
		break;
	case KERB_BAD:
		answer_fail(r->e, r->m->id, why);
		break;
	}
	OPENSSL_cleanse(&a, sizeof(a));
}

static void
finish_ap_rep(struct exchanges *e, struct exchange *x, const uint8_t *p, size_t n)
{
	struct keyd_answer a;
	char why[KEYD_WHY];

	if (kerb_ap_rep(x->ap, p, n, &a, why) == 0)
		answer_key(e, x->id, &a);
	else
		answer_fail(e, x->id, why);
	OPENSSL_cleanse(&a, sizeof(a));
	drop(e, x);
}

static void
do_ap_rep(struct request *r)
{
	if (r->x == NULL) {
		answer_fail(r->e, r->m->id, "this smbgate-keyd knows nothing of that logon");
	} else if (r->x->stage == OPENED) {
		finish_ap_rep(r->e, r->x, r->m->data, r->m->len);
	} else if (token_copy(&r->x->rep, r->m) == 0) {
		r->x->stage = WAITING_BOTH;
	} else {
		/* One answer for each of the two. */
		answer_fail(r->e, r->m->id, "out of memory");
		answer_fail(r->e, r->m->id, "out of memory");
		drop(r->e, r->x);
	}
}

static void
do_challenge(struct request *r)
{
	uint8_t challenge[NTLM_CHALLENGE_LEN];
	char why[KEYD_WHY];
	struct exchange *x;

	/* It is not answered; the AUTH will fail as one without a CHALLENGE. */
	if (ntlm_challenge_get(challenge, r->m->data, r->m->len, why) == -1)
		return;
	x = add(r, CHALLENGED);
	if (x != NULL)
		memcpy(x->challenge, challenge, sizeof(challenge));
}

static void
do_auth(struct request *r)
{
	struct keyd_answer a;
	char why[KEYD_WHY];

	if (r->x == NULL) {
		answer_fail(r->e, r->m->id, "this smbgate-keyd knows nothing of that logon");
		return;
	}
	if (r->keys->kerb == NULL)
		answer_fail(r->e, r->m->id, r->keys->why);
	else if (ntlm_open(&r->keys->hashes, r->x->challenge, r->m->data, r->m->len, &a, why) == 0)
		answer_key(r->e, r->m->id, &a);
	else
		answer_fail(r->e, r->m->id, why);
	drop(r->e, r->x);
}

static void
do_forget(struct request *r)
{
	if (r->x != NULL)
		drop(r->e, r->x);
}

#define IN(stage) (1u << (stage))

/* GONE is allowed where the worker cannot know yet, or where this is not the process it asked. */
static const struct {
	unsigned allowed;
	void (*handle)(struct request *r);
} requests[KEYMSG_TYPES] = {
	[KEYMSG_AP_REQ] = { IN(NEW), do_ap_req },
	[KEYMSG_AP_REP] = { IN(NEW) | IN(GONE) | IN(OPENED) | IN(WAITING), do_ap_rep },
	[KEYMSG_NTLM_CHALLENGE] = { IN(NEW), do_challenge },
	[KEYMSG_NTLM_AUTH] = { IN(NEW) | IN(GONE) | IN(CHALLENGED), do_auth },
	[KEYMSG_FORGET] = { ~0u, do_forget },
};

int
exchanges_take(struct exchanges *e, struct keyd_keys *keys, const struct keymsg *m,
    uint64_t now_ms, char why[KEYD_WHY])
{
	struct request r = { .e = e, .keys = keys, .m = m, .now = now_ms };
	enum stage stage;

	HASH_FIND(hh, e->by_id, &m->id, sizeof(m->id), r.x);
	stage = r.x != NULL ? r.x->stage : m->id > e->last_id ? NEW : GONE;
	if (requests[m->type].handle == NULL || (requests[m->type].allowed & IN(stage)) == 0) {
		snprintf(why, KEYD_WHY, "%s out of order", keymsg_name(m->type));
		return -1;
	}
	if (m->id > e->last_id)
		e->last_id = m->id;
	requests[m->type].handle(&r);
	return 0;
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
	char why[KEYD_WHY];

	if (open_ap_req(e, keys, x->req.p, x->req.n, &a, &x->ap, why) != KERB_OPENED) {
		answer_fail(e, x->id, why);
		if (both)
			answer_fail(e, x->id, why);
		drop(e, x);
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
			answer_fail(e, x->id, "an AP-REP that nobody asked for");
		drop(e, x);
	}
	token_free(&rep);
}

void
exchanges_retry(struct exchanges *e, struct keyd_keys *keys)
{
	struct exchange *x, *next;

	for (x = TAILQ_FIRST(&e->by_age); x != NULL && e->nwaiting > 0; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (is_waiting(x))
			retry(e, x, keys);
	}
}

bool
exchanges_expire(struct exchanges *e, uint64_t now_ms)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&e->by_age)) != NULL && now_ms - x->born_ms >= EXCHANGE_LIFE_MS)
		drop(e, x);
	return e->n > 0;
}
