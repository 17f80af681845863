/* keyx.c: one exchange with smbgate-keyd: the messages of a logon, in their order, and its key */
#include "config.h"

#include "auth/keyx.h"

#include "auth/keyc_priv.h"
#include "base/addr.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

_Static_assert(KEYC_KEY_MAX >= KEYMSG_KEY_MAX, "a key must fit");
_Static_assert(KEYC_PRINCIPAL_MAX > KEYMSG_TEXT_MAX, "a principal must fit");

/* smbgate-keyd has nothing of it any more; an answer on its way will find nobody. */
static void
forget_id(struct keyx *x)
{
	if (x->is_sent)
		TAILQ_REMOVE(&x->c->sent, x, sent);
	x->is_sent = false;
	x->id = 0;
}

static void
drop_unsent(struct keyx *x)
{
	keyq_remove(x);
	for (; x->nunsent > 0; x->nunsent--)
		buf_fini(&x->unsent[x->nunsent - 1].token);
}

/* What it is asked, or keeps, is of no use to anybody. */
static void
let_go(struct keyx *x)
{
	drop_unsent(x);
	if (x->id != 0 && x->epoch == x->c->epoch)
		keysend_forget(x->c, x->id);
	forget_id(x);
	x->owed = x->unasked = 0;
}

static void
wipe_key(struct keyx *x)
{
	OPENSSL_cleanse(x->r.key, sizeof(x->r.key));
	x->r.key_len = 0;
	x->r.mutual = false;
}

void
keyx_fail(struct keyx *x, enum nokey_cause cause, const char *fmt, ...)
{
	va_list ap;

	let_go(x);
	wipe_key(x);
	va_start(ap, fmt);
	nokey_vsay(&x->r.why, cause, fmt, ap);
	va_end(ap);
	x->r.state = KEYX_ASKING;
	keywait_finish(x, KEYX_FAILED);
}

static void
keyx_begin(struct keyx *x)
{
	let_go(x);
	wipe_key(x);
	keywait_leave(x);
	x->r.state = KEYX_NOTHING;
	x->r.principal[0] = x->r.why.text[0] = '\0';
}

/* Keeps a message until it is asked about. */
static void
keyx_keep(struct keyx *x, enum keymsg_type type, const uint8_t *p, size_t n)
{
	if (n == 0 || n > KEYMSG_TOKEN_MAX) {
		keyx_fail(x, NOKEY_other, "a token of %zu bytes", n);
		return;
	}
	keyq_remove(x);
	if (buf_add(&x->unsent[x->nunsent].token, p, n) == -1) {
		keyx_fail(x, NOKEY_other, "out of memory");
		return;
	}
	x->unsent[x->nunsent++].type = type;
	x->last = type;
	/* A CHALLENGE asks for nothing. */
	x->unasked += type != KEYMSG_NTLM_CHALLENGE;
}

size_t
keyx_size(const struct keyx *x)
{
	size_t n = sizeof(*x);

	for (unsigned i = 0; i < x->nunsent; i++)
		n += buf_size(&x->unsent[i].token);
	return n;
}

void
keyx_ap_req(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_begin(x);
	keyx_keep(x, KEYMSG_AP_REQ, p, n);
}

void
keyx_ntlm_challenge(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_begin(x);
	keyx_keep(x, KEYMSG_NTLM_CHALLENGE, p, n);
}

/* The second message of an exchange, after a first one that was `first`. */
static void
keyx_continue(struct keyx *x, enum keymsg_type first, enum keymsg_type type, const uint8_t *p,
    size_t n)
{
	/* The first reason is the better one. */
	if (x->r.state == KEYX_FAILED || (x->on == ON_DONE && x->outcome == KEYX_FAILED))
		return;
	if (x->last != first || (x->id == 0 && x->nunsent == 0))
		keyx_fail(x, NOKEY_other, "%s out of order", keymsg_name(type));
	else
		keyx_keep(x, type, p, n);
}

void
keyx_ap_rep(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_continue(x, KEYMSG_AP_REQ, KEYMSG_AP_REP, p, n);
}

void
keyx_ntlm_auth(struct keyx *x, const uint8_t *p, size_t n)
{
	keyx_continue(x, KEYMSG_NTLM_CHALLENGE, KEYMSG_NTLM_AUTH, p, n);
}

/* Is there a smbgate-keyd that can be asked? If not, it has failed. */
static bool
can_ask(struct keyx *x)
{
	if (x->c->fd == -1)
		keyx_fail(x, NOKEY_keyd_died, "smbgate-keyd is not running");
	else if (atomic_load(&x->c->watch->silent))
		keyx_fail(x, NOKEY_keyd_died, "smbgate-keyd does not answer");
	else if (x->id != 0 && x->epoch != x->c->epoch)
		keyx_fail(x, NOKEY_keyd_died, "smbgate-keyd was started during the logon");
	else
		return true;
	return false;
}

void
keyx_ask(struct keyx *x)
{
	struct keyx *victim;

	if (x->r.state == KEYX_FAILED && x->on == ON_NONE) {
		/* It is told again. */
		x->r.state = KEYX_ASKING;
		keywait_finish(x, KEYX_FAILED);
	}
	if (x->unasked == 0 || !can_ask(x))
		return;
	if (x->unsent[0].type != KEYMSG_AP_REP)
		atomic_fetch_add(&x->c->watch->accepted, 1);
	if (x->owed == 0)
		x->since_us = clock_us();
	x->owed += x->unasked;
	x->unasked = 0;
	x->r.state = KEYX_ASKING;
	keywait_ask(x);
	do {
		victim = keyq_add(x);
		if (victim != NULL)
			keyx_fail(victim, NOKEY_keyd_died, "smbgate-keyd has too much to do");
	} while (victim != NULL && victim != x);
	keysend_pump(x->c);
}

static void
copy_text(char *dst, size_t cap, const struct keymsg *m)
{
	size_t n = m->text_len < cap ? m->text_len : cap - 1;

	memcpy(dst, m->text, n);
	dst[n] = '\0';
}

/* How long it took, for those who look after smbgate-keyd. */
static void
count_wait(struct keyx *x)
{
	struct keywatch *w = x->c->watch;
	uint64_t us = clock_us() - x->since_us, max = atomic_load(&w->wait_us_max);

	atomic_fetch_add(&w->answers, 1);
	atomic_fetch_add(&w->wait_us, us);
	while (us > max && !atomic_compare_exchange_weak(&w->wait_us_max, &max, us))
		continue;
}

void
keyx_answer(struct keyx *x, const struct keymsg *m)
{
	char why[KEYMSG_TEXT_MAX + 1];

	if (m->type == KEYMSG_FAIL) {
		count_wait(x);
		copy_text(why, sizeof(why), m);
		/* Nothing is left there to be forgotten, but for an AP-REP on its way. */
		forget_id(x);
		keyx_fail(x, (enum nokey_cause)m->cause, "%s", why);
		return;
	}
	x->r.mutual = m->mutual;
	/* An AP-REP was sent ahead of the answer to its AP-REQ: that one is not the last word. */
	if (--x->owed > 0)
		return;
	count_wait(x);
	/* None, if an AP-REP must come before it. */
	memcpy(x->r.key, m->data, m->len);
	x->r.key_len = m->len;
	copy_text(x->r.principal, sizeof(x->r.principal), m);
	if (m->mutual) {
		TAILQ_REMOVE(&x->c->sent, x, sent);
		x->is_sent = false;
	} else {
		forget_id(x);
	}
	keywait_finish(x, KEYX_READY);
}

uint64_t
keyx_source(const struct addr *client)
{
	uint64_t source;

	/* The halves of an IPv4 address's form: zeros, and a mark with the address. */
	memcpy(&source, client->b + (addr_is_v4(client) ? 8 : 0), sizeof(source));
	return source;
}

struct keyx *
keyx_new(struct keyc *c, uint64_t source, void (*ready)(void *arg), void *arg)
{
	struct keyx *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->c = c;
	x->source = source;
	x->ready = ready;
	x->arg = arg;
	c->nkeyx++;
	return x;
}

void
keyx_free(struct keyx **xp)
{
	struct keyx *x = *xp;

	if (x == NULL)
		return;
	let_go(x);
	keywait_leave(x);
	x->c->nkeyx--;
	OPENSSL_cleanse(x, sizeof(*x));
	free(x);
	*xp = NULL;
}

const struct keyx_result *
keyx_result(const struct keyx *x)
{
	return &x->r;
}
