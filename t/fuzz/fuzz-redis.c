/* fuzz-redis.c: libFuzzer target: what Redis says, to answers, to claims and exceptions */
/* for: state/reply.c state/record.c state/sync.c state/peers.c state/rests.c */
#include "config.h"

#include "state/link.h"
#include "state/peers.h"
#include "state/record.h"
#include "state/reply.h"
#include "state/rests.h"
#include "state/shared.h"
#include "state/sync.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every record is authentic: what is behind the MAC is what is looked at. */
static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)arg;
	(void)label;
	(void)a;
	(void)an;
	(void)b;
	(void)bn;
	memset(out, 'm', 32);
	return 0;
}

static int
no_mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)mac(arg, label, a, an, b, bn, out);
	return -1;
}

static const struct record_seal seal = { .mac = mac }, broken = { .mac = no_mac };

/* What is understood of it is what was sent: said again, it is the same. */
static void
rests(const char *s, size_t len)
{
	static struct rests_said said, again;
	struct rests alone = { .len = 0 };
	char line[RESTS_LINE];
	struct rest x, y;

	rests_read(&said, s, len);
	if (said.says != REST_SAID)
		return;
	rests_read(&again, line, rests_line(&said.rests, said.age_ms, line));
	if (again.says != REST_SAID || again.age_ms != said.age_ms ||
	    rests_find(&said, 0xff, &x) != rests_find(&again, 0xff, &y) ||
	    x.connections != y.connections)
		abort();
	if (rests_find(&said, 0xff, &x) != REST_SAID)
		return;
	rests_add(&alone, &x);
	rests_read(&again, line, rests_line(&alone, said.age_ms, line));
	if (rests_find(&again, 0xff, &y) != REST_SAID || y.order != x.order ||
	    y.connections != x.connections || y.clients != x.clients || y.cut != x.cut)
		abort();
}

/* What could be read is what is made of it; where there is no MAC, nothing is. */
static void
made_again(const char *s, size_t len, uint64_t when, const char *text)
{
	uint8_t id[NAMES_ID_LEN];
	struct record r;

	record_make(&r, &seal, "claim", "x", 1, when, text);
	if (r.len != len || memcmp(r.bytes, s, len) != 0)
		abort();
	record_make(&r, &broken, "claim", "x", 1, when, text);
	if (r.len != 0 || record_id(&broken, "claim", "x", 1, id) != -1 ||
	    record_get(s, len, &broken, "claim", "x", 1, &when, r.bytes) != -1)
		abort();
}

/* Every string of an answer, wherever it stands, as a record and as an exception. */
static void
strings(struct shared *m, const redisReply *r)
{
	uint8_t id[NAMES_ID_LEN] = { 0 };
	char text[STATE_NODE_LEN];
	uint64_t when;

	for (size_t i = 0; i < reply_elements(r); i++) {
		size_t len;
		const char *s = reply_string(r, i, &len);

		strings(m, reply_array(r, i));
		(void)reply_number(r, i);
		if (s == NULL)
			continue;
		if (record_get(s, len, &seal, "claim", "x", 1, &when, text) == 0)
			made_again(s, len, when, text);
		if (len >= NAMES_ID_HEX)
			(void)record_unhex(id, NAMES_ID_LEN, s);
		(void)shared_note_exception(m, id, s, len);
		rests(s, len);
	}
}

/* A link that is never up: what would be asked is put together, and goes nowhere. */
static struct link *
the_link(const struct link_conf *conf)
{
	static const struct link_ops ops = { .ready = NULL };
	static const char try_key[NAMES_KEY_MAX] = "smbgate:try";
	static struct faults faults;
	static struct link *l;

	if (l == NULL)
		l = link_new(event_base_new(), conf, try_key, &faults, &ops, NULL);
	if (l == NULL)
		abort();
	return l;
}

/* As the answer to whatever is to be said of the claim now. */
static void
claims(struct shared *m, struct link *l, const redisReply *r)
{
	struct peer peer;
	struct shared_op op;
	struct state_key lost;
	uint64_t t;

	for (size_t i = 0; i < reply_elements(r); i++)
		(void)peer_read(r, i, 1000, "0123abcd", 7, &peer);
	if (shared_take(m, &op, 1, true) == 1) {
		struct shared_result res = { .how = -1 };

		if (sync_send(l, m, 1, r->elements > 1, &op, 1, NULL, NULL))
			abort();
		if (sync_answer(r, 1, &t))
			res = sync_result(r, 0);
		(void)shared_done(m, &op, &res, &lost);
	}
	for (size_t i = 0; i < reply_elements(r); i++)
		if (reply_array(r, i) != NULL)
			claims(m, l, reply_array(r, i));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_conf conf = { .timeout_ms = 50 };
	const struct state_key key = { .b = { STATE_KEY_GUID } };
	struct shared *m = shared_new(&conf, &seal, 10);
	struct reply_parser *p = reply_parser_new();
	struct shared_port port = { .wake = NULL };
	struct state_hold h = { .m = m, .port = &port };
	struct state_claim c;
	redisReply *r;

	if (m == NULL || p == NULL)
		abort();
	TAILQ_INIT(&port.ready);
	shared_online(m, true, false);
	(void)shared_claim(&h, &key, "n1=1", "n1=1", &c);
	for (size_t at = 0; at < size;) {
		/* In pieces, as it comes; their lengths are in the input too. */
		size_t n = 1 + data[at] % 64;
		int whole;

		if (n > size - at)
			n = size - at;
		if (reply_feed(p, (const char *)data + at, n) == -1)
			break;
		at += n;
		while ((whole = reply_next(p, &r)) == 1) {
			if (reply_error(r) != NULL && reply_elements(r) != 0)
				abort();
			strings(m, r);
			claims(m, the_link(&conf), r);
			shared_again(m);
			freeReplyObject(r);
		}
		if (whole == -1)
			break;
	}
	shared_leave(&h, 1000);
	reply_parser_free(&p);
	shared_free(&m);
	return 0;
}
