/* resets.c: what proxies tell each other of clients that have lost all their connections */
#include "config.h"

#include "state/resets.h"

#include "state/link.h"
#include "state/record.h"
#include "state/shared.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The process that says so, and the client's key: 16 hex digits each. */
#define NAME_LEN 32
#define LABEL "vc-reset"
#define TEXT "lost"

void
resets_tell(struct link *l, struct shared *m, const struct state_reset *r)
{
	char news[NAMES_KEY_MAX], text[1 + NAME_LEN + RECORD_MAX];
	const char *argv[] = { "PUBLISH", news, text };
	size_t len[] = { 7, 0, 1 + NAME_LEN };
	const uint64_t now = shared_time(m);
	struct record rec;

	snprintf(text, 2 + NAME_LEN, "v%.16s%016" PRIx64, shared_token(m), r->key);
	record_make(&rec, shared_seal(m), LABEL, text + 1, NAME_LEN,
	    now > r->age_ms ? now - r->age_ms : 0, TEXT);
	if (rec.len == 0)
		return;
	memcpy(text + len[2], rec.bytes, rec.len);
	len[2] += rec.len;
	shared_key(m, news, "news", NULL);
	len[1] = strlen(news);
	atomic_fetch_add_explicit(&shared_stats(m)->commands, 1, memory_order_relaxed);
	link_ask(l, 3, argv, len, NULL, NULL);
}

int
resets_told(struct shared *m, const char *text, size_t len, struct state_reset *r)
{
	const uint64_t now = shared_time(m);
	char name[NAME_LEN + 1], what[STATE_NODE_LEN];
	uint8_t key[8];
	uint64_t when;

	if (len <= NAME_LEN ||
	    record_get(text + NAME_LEN, len - NAME_LEN, shared_seal(m), LABEL, text, NAME_LEN,
	        &when, what) == -1 ||
	    strcmp(what, TEXT) != 0)
		return -1;
	memcpy(name, text, NAME_LEN);
	name[NAME_LEN] = '\0';
	if (record_unhex(key, sizeof(key), name + 16) == -1)
		return -1;
	r->key = 0;
	for (size_t i = 0; i < sizeof(key); i++)
		r->key = r->key << 8 | key[i];
	r->age_ms = now > when ? now - when : 0;
	return strncmp(name, shared_token(m), 16) != 0;
}
