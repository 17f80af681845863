/* inherit.c: claims of the process before this one, which may still have connections */
#include "config.h"

#include "state/inherit.h"

#include "base/hash.h"
#include "base/tlv.h"
#include "state/state.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/* Types are never used again for something else. */
enum {
	CLAIMS_CLAIM = 1,
	CLAIM_KEY = 1,
	CLAIM_NODE = 2,
	CLAIM_FIRM = 3,
	CLAIM_LEFT_MS = 4,	/* nobody lives on it */
};

/* Longer than any linger time. */
#define LEFT_MAX_MS (1U << 31)

/* A claim that the other process lives on. */
struct inherited {
	struct state_key key;
	struct state_hold *hold;
	struct inherit *from;
	bool firm;
	unsigned list;			/* it was in that one */
	UT_hash_handle hh;
};

struct inherit {
	struct state *state;
	struct inherited *all;
	unsigned list;
};

struct claims_out {
	struct tlv_out *o;
	bool lingers;
};

static void
write_claim(void *arg, const struct state_key *key, const struct state_claim *c, uint64_t left_ms)
{
	const struct claims_out *w = arg;
	size_t at;

	if (left_ms > 0 && !w->lingers)
		return;
	at = tlv_begin(w->o, CLAIMS_CLAIM);
	tlv_put(w->o, CLAIM_KEY, key->b, sizeof(key->b));
	tlv_put_text(w->o, CLAIM_NODE, c->node);
	tlv_put_uint(w->o, CLAIM_FIRM, c->firm);
	if (left_ms > 0)
		tlv_put_uint(w->o, CLAIM_LEFT_MS, left_ms < LEFT_MAX_MS ? left_ms : LEFT_MAX_MS);
	tlv_end(w->o, at);
}

void
claims_write(struct tlv_out *o, struct state *s, bool lingering)
{
	/* What lingers in a shared map is in Redis. */
	struct claims_out w = { .o = o, .lingers = lingering && !s->ops->shared };

	s->ops->each(s, write_claim, &w);
}

struct inherit *
inherit_new(struct state *s)
{
	struct inherit *i = calloc(1, sizeof(*i));

	if (i != NULL)
		i->state = s;
	return i;
}

/* As it is said to be, it stays: whoever is asked has nothing else to say. */
static void
inherited_cb(void *arg, const struct state_claim *c)
{
	struct inherited *x = arg;

	if (c != NULL)
		state_settle(x->from->state, x->hold);
}

static void
let_go(struct inherit *i, struct inherited *x, unsigned linger_ms)
{
	HASH_DEL(i->all, x);
	if (x->hold != NULL)
		state_release(i->state, &x->hold, linger_ms);
	free(x);
}

static void
hold_claim_of(struct inherit *i, const struct state_key *key, const struct state_claim *c)
{
	struct inherited *x;

	HASH_FIND(hh, i->all, key, sizeof(*key), x);
	if (x == NULL) {
		x = calloc(1, sizeof(*x));
		if (x == NULL)
			return;
		x->key = *key;
		x->from = i;
		HASH_ADD(hh, i->all, key, sizeof(x->key), x);
		if (!hash_has(x)) {
			free(x);
			return;
		}
		/* Without Redis it stays as well: whatever its home is. */
		state_claim(i->state, key, c->node, c->node, inherited_cb, x, &x->hold);
	}
	x->list = i->list;
	if (c->firm && !x->firm && x->hold != NULL) {
		x->firm = true;
		state_firm(i->state, x->hold, 0);
	}
}

static void
ignore_cb(void *arg, const struct state_claim *c)
{
	(void)arg;
	(void)c;
}

/* Nobody lives on it, and it lingers on. */
static void
let_linger(struct inherit *i, const struct state_key *key, const struct state_claim *c,
    unsigned left_ms)
{
	struct state_hold *h;

	state_claim(i->state, key, c->node, c->node, ignore_cb, NULL, &h);
	if (h == NULL)
		return;
	state_firm(i->state, h, left_ms);
	state_release(i->state, &h, left_ms);
}

static void
read_claim(struct tlv_in *in, struct inherit *i)
{
	struct tlv_in x = tlv_sub(in);
	struct state_claim c = { .firm = false };
	struct inherited *held;
	struct state_key key;
	unsigned left_ms = 0;
	bool has_key = false;

	while (tlv_next(&x)) {
		switch (x.type) {
		case CLAIM_KEY:
			tlv_copy(&x, key.b, sizeof(key.b));
			has_key = true;
			break;
		case CLAIM_NODE:
			tlv_text(&x, c.node, sizeof(c.node));
			break;
		case CLAIM_FIRM:
			c.firm = tlv_uint(&x, 1) == 1;
			break;
		case CLAIM_LEFT_MS:
			left_ms = (unsigned)tlv_uint(&x, LEFT_MAX_MS);
			break;
		default:
			tlv_unknown(&x);
		}
	}
	if (x.bad || !has_key || c.node[0] == '\0') {
		in->bad = true;
		return;
	}
	if (left_ms == 0) {
		hold_claim_of(i, &key, &c);
		return;
	}
	HASH_FIND(hh, i->all, &key, sizeof(key), held);
	if (held != NULL)
		let_go(i, held, left_ms);
	else
		let_linger(i, &key, &c, left_ms);
}

int
inherit_read(struct inherit *i, const void *record, size_t n)
{
	struct tlv_in in = tlv_in(record, n);

	while (tlv_next(&in)) {
		if (in.type == CLAIMS_CLAIM)
			read_claim(&in, i);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}

void
inherit_whole(struct inherit *i, unsigned linger_ms)
{
	struct inherited *x, *tmp;

	HASH_ITER(hh, i->all, x, tmp)
		if (x->list != i->list)
			let_go(i, x, linger_ms);
	i->list++;
}

size_t
inherit_count(const struct inherit *i)
{
	return HASH_COUNT(i->all);
}

void
inherit_free(struct inherit **ip, unsigned linger_ms)
{
	struct inherit *i = *ip;
	struct inherited *x, *tmp;

	if (i == NULL)
		return;
	HASH_ITER(hh, i->all, x, tmp)
		let_go(i, x, linger_ms);
	free(i);
	*ip = NULL;
}
