/* fuzz-talk.c: libFuzzer target: what another proxy says of clients that are to go */
/* for: daemon/talk.c */
#include "config.h"

#include "auth/cluster.h"
#include "auth/secret.h"
#include "daemon/talk.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct secret secret = { .len = 16, .bytes = "sixteen bytes..." };

/* What somebody of the cluster has said, whatever is in it: read and said again, it is the same. */
static void
fuzz_said(const uint8_t *text, struct talk *t)
{
	static const char bound[] = "clients";
	uint8_t wrapped[TALK_WRAPPED], again[TALK_WRAPPED], *other;
	struct talk u;

	HOLDS(cluster_wrap(&secret, bound, sizeof(bound), text, TALK_TEXT, wrapped) == 0);
	if (talk_read(&secret, wrapped, sizeof(wrapped), t) == -1)
		return;
	HOLDS(t->kind >= TALK_PARK && t->kind <= TALK_END_AGAIN && t->who.n <= PARTING_MAX);
	HOLDS(talk_write(&secret, t, again) == 0);
	HOLDS(talk_read(&secret, again, sizeof(again), &u) == 0);
	HOLDS(t->kind == u.kind && t->round == u.round && t->at_ms == u.at_ms &&
	    t->number == u.number && t->quiet_s == u.quiet_s && t->busy == u.busy &&
	    t->ago_ms == u.ago_ms &&
	    memcmp(t->from, u.from, sizeof(u.from)) == 0 &&
	    memcmp(t->to, u.to, sizeof(u.to)) == 0 && t->who.n == u.who.n);
	for (size_t i = 0; i < u.who.n; i++)
		HOLDS(memcmp(t->who.who[i].key.b, u.who.who[i].key.b, TALK_KEY) == 0);
	/* Altered anywhere, or cut, nobody of the cluster has said it. */
	HOLDS(talk_read(&secret, again, sizeof(again) - 1, &u) == -1);
	other = again + text[0] % sizeof(again);
	*other ^= 0x40;
	HOLDS(talk_read(&secret, again, sizeof(again), &u) == -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk_seen seen;
	uint8_t text[TALK_TEXT] = { 0 };
	struct talk t;

	HOLDS(talk_read(&secret, data, size, &t) == -1);
	memcpy(text, data, size < sizeof(text) ? size : sizeof(text));
	memset(&t, 0, sizeof(t));
	memset(&seen, 0, sizeof(seen));
	fuzz_said(text, &t);
	if (t.kind == 0)
		return 0;
	HOLDS(!talk_is_new(&seen, &t, t.at_ms + TALK_OLD_MS + 1));
	/* Once, and never again, however many others have said something. */
	if ((t.kind & 1) != 0) {
		for (size_t i = 0; i < TALK_SEEN_MAX; i++) {
			seen.of[i].from[0] = (char)i;
			seen.of[i].at_ms = t.at_ms - i;
		}
		seen.n = TALK_SEEN_MAX;
	}
	if (talk_is_new(&seen, &t, t.at_ms))
		HOLDS(!talk_is_new(&seen, &t, t.at_ms));
	HOLDS(seen.n <= TALK_SEEN_MAX);
	return 0;
}
