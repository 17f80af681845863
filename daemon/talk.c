/* talk.c: pure: what proxies tell each other of clients that are to go */
#include "config.h"

#include "daemon/talk.h"

#include "auth/cluster.h"
#include "auth/secret.h"
#include "base/rd.h"
#include "base/wr.h"

#include <string.h>

_Static_assert(TALK_WRAPPED == TALK_TEXT + CLUSTER_WRAP_EXTRA && TALK_WRAPPED <= STATE_FACT_MAX,
    "it can be told");

/* What it is bound to: it is nothing else that is wrapped. */
static const char talk_bound[] = "clients";

int
talk_write(const struct secret *s, const struct talk *t, uint8_t out[TALK_WRAPPED])
{
	uint8_t text[TALK_TEXT];
	struct wr w = wr_init(text, sizeof(text));

	wr_u8(&w, (uint8_t)t->kind);
	wr_bytes(&w, t->from, sizeof(t->from));
	wr_bytes(&w, t->to, sizeof(t->to));
	wr_u64(&w, t->at_ms);
	wr_u64(&w, t->number);
	wr_u32(&w, t->round);
	/* In one place: who is told to end need not be quiet. */
	wr_u32(&w, t->kind == TALK_END_AGAIN ? t->ago_ms : t->quiet_s);
	wr_u32(&w, t->busy);
	wr_u8(&w, (uint8_t)t->who.n);
	for (size_t i = 0; i < t->who.n; i++)
		wr_bytes(&w, t->who.who[i].key.b, TALK_KEY);
	wr_zero(&w, TALK_TEXT - wr_len(&w));
	if (!wr_ok(&w) || wr_len(&w) != TALK_TEXT || s->len == 0)
		return -1;
	return cluster_wrap(s, talk_bound, sizeof(talk_bound), text, TALK_TEXT, out);
}

int
talk_read(const struct secret *s, const void *bytes, size_t len, struct talk *t)
{
	uint8_t text[TALK_TEXT];
	struct rd r = rd_init(text, sizeof(text));

	*t = (struct talk){ .round = 0 };
	if (len != TALK_WRAPPED || s->len == 0 ||
	    cluster_unwrap(s, talk_bound, sizeof(talk_bound), bytes, len, text) == -1)
		return -1;
	t->kind = (enum talk_kind)rd_u8(&r);
	rd_copy(&r, t->from, sizeof(t->from));
	rd_copy(&r, t->to, sizeof(t->to));
	t->at_ms = rd_u64(&r);
	t->number = rd_u64(&r);
	t->round = rd_u32(&r);
	*(t->kind == TALK_END_AGAIN ? &t->ago_ms : &t->quiet_s) = rd_u32(&r);
	t->busy = rd_u32(&r);
	t->who.n = rd_u8(&r);
	if (t->kind < TALK_PARK || t->kind > TALK_END_AGAIN || t->who.n > PARTING_MAX)
		return -1;
	for (size_t i = 0; i < t->who.n; i++)
		rd_copy(&r, t->who.who[i].key.b, TALK_KEY);
	return rd_ok(&r) ? 0 : -1;
}

bool
talk_is_new(struct talk_seen *seen, const struct talk *t, uint64_t now_ms)
{
	const uint64_t off = now_ms > t->at_ms ? now_ms - t->at_ms : t->at_ms - now_ms;
	size_t i, oldest = 0;

	if (off > TALK_OLD_MS)
		return false;
	for (i = 0; i < seen->n; i++) {
		if (memcmp(seen->of[i].from, t->from, TALK_TOKEN) == 0)
			break;
		if (seen->of[i].at_ms < seen->of[oldest].at_ms)
			oldest = i;
	}
	/* One link brings them all, in their order. */
	if (i < seen->n && t->number <= seen->of[i].number)
		return false;
	if (i == TALK_SEEN_MAX)
		i = oldest;
	else if (i == seen->n)
		seen->n++;
	memcpy(seen->of[i].from, t->from, TALK_TOKEN);
	seen->of[i].number = t->number;
	seen->of[i].at_ms = t->at_ms;
	return true;
}
