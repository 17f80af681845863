/* proxy-tap.c: captures: headers out of a stream, and a queue that is bounded */
#include "config.h"

#include "base/tapmsg.h"
#include "proxy/mailbox.h"
#include "proxy/tap.h"
#include "proxy/tap_heads.h"
#include "smb/const.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A frame at p; its length. id: 0xfe, 0xfd, ... */
static size_t
frame_put(uint8_t *p, uint8_t id, size_t len)
{
	memset(p, 0xaa, 4 + len);
	p[0] = 0;
	p[1] = (uint8_t)(len >> 16);
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	if (len < 4)
		return 4 + len;
	memcpy(p + 4, (uint8_t[]){ id, 'S', 'M', 'B' }, 4);
	if (id == 0xfe && len >= SMB2_HDR_LEN) {
		memset(p + 8, 0, SMB2_HDR_LEN - 4);
		p[8] = SMB2_HDR_LEN;
	}
	return 4 + len;
}

/* Two messages: the second is `at` bytes behind the first. */
static size_t
compound_put(uint8_t *p, size_t at, size_t len)
{
	size_t n = frame_put(p, 0xfe, len);

	p[4 + 20] = (uint8_t)at;
	p[4 + 21] = (uint8_t)(at >> 8);
	frame_put(p + at, 0xfe, len - at);
	memcpy(p + at, (uint8_t[]){ 0xaa, 0xaa, 0xaa, 0xaa }, 4);
	return n;
}

#define FRAMES 11

static void
test_heads(void **state)
{
	static uint8_t all[200000];
	struct {
		size_t at, whole;
		uint32_t len;
	} want[FRAMES] = { { 0 } };
	size_t n = 0, k = 0;

	(void)state;
#define FRAME(put, headers) \
	do { \
		want[k].at = n; \
		want[k].whole = (put); \
		n += want[k].whole; \
		want[k++].len = (headers); \
	} while (0)
	FRAME(frame_put(all + n, 0xfe, 64), 68);
	FRAME(frame_put(all + n, 0xfe, 100000), 68);
	FRAME(frame_put(all + n, 0xfe, 63), 4);		/* no header of SMB2 */
	FRAME(frame_put(all + n, 0xfd, 300), 4 + 52);
	FRAME(frame_put(all + n, 0xfc, 300), 4 + 16);
	FRAME(frame_put(all + n, 0xff, 300), 4 + 32);
	FRAME(frame_put(all + n, 0x00, 300), 4);
	FRAME(frame_put(all + n, 0, 0), 4);
	FRAME(compound_put(all + n, 200, 300), 4 + 264);
	FRAME(compound_put(all + n, 2000, 3000), 68);	/* the other is too far away */
	FRAME(frame_put(all + n, 0xfe, 80), 68);
#undef FRAME
	assert_int_equal(k, FRAMES);
	for (size_t cut = 1; cut < n; cut = cut < 80 ? cut + 1 : cut * 3) {
		struct tap_heads h = { 0 };
		size_t got = 0;

		for (size_t at = 0; at < n; at += cut)
			for (size_t used = 0, m = n - at < cut ? n - at : cut; used < m;) {
				used += tap_heads_feed(&h, all + at + used, m - used);
				if (h.len == 0)
					continue;
				assert_int_equal(h.len, want[got].len);
				assert_int_equal(h.whole, want[got].whole);
				assert_memory_equal(h.bytes, all + want[got].at,
				    h.len < 68 ? h.len : 68);
				/* No payload: nothing of what it was made of. */
				for (size_t i = 68; i < 204 && i < h.len; i++)
					assert_int_equal(h.bytes[i], 0);
				got++;
			}
		assert_int_equal(got, FRAMES);
	}
}

static void
test_tapmsg(void **state)
{
	const struct tapmsg m = { .kind = TAPMSG_DATA, .len = 5, .whole = 70000, .leg = 1, .way = 1,
		.conn = UINT64_MAX, .time_us = 1ull << 52, .offset = 1ull << 40 };
	struct tapmsg_ends e, f;
	uint8_t bytes[TAPMSG_HDR_LEN], ends[TAPMSG_ENDS_LEN];
	struct tapmsg got;

	(void)state;
	tapmsg_put(bytes, &m);
	assert_int_equal(tapmsg_get(&got, bytes), 0);
	assert_true(got.kind == m.kind && got.len == 5 && got.whole == 70000 && got.leg == 1 &&
	    got.way == 1 && got.conn == m.conn && got.time_us == m.time_us &&
	    got.offset == m.offset && !got.fresh);
	for (size_t i = 0; i < LEN(bytes); i++) {
		uint8_t was = bytes[i];

		/* Whatever comes is read, or refused. */
		for (unsigned v = 0; v < 256; v++) {
			bytes[i] = (uint8_t)v;
			if (tapmsg_get(&got, bytes) == 0)
				assert_true(got.len <= TAPMSG_DATA_MAX && got.leg < 2 &&
				    got.way < 2 &&
				    (got.kind != TAPMSG_DATA || got.len <= got.whole));
		}
		bytes[i] = was;
	}
	assert_int_equal(addrport_parse(&e.peer, "10.1.0.7:50122", 0), 0);
	assert_int_equal(addrport_parse(&e.own, "[fd00::1]:445", 0), 0);
	tapmsg_ends_put(ends, &e);
	tapmsg_ends_get(&f, ends);
	assert_true(addr_equal(&e.peer.addr, &f.peer.addr) && f.peer.port == 50122);
	assert_true(addr_equal(&e.own.addr, &f.own.addr) && f.own.port == 445);
}

static void
count_cb(void *arg)
{
	unsigned *n = arg;

	++*n;
}

static size_t
take_all(struct tap *t)
{
	struct tap_blocks got = STAILQ_HEAD_INITIALIZER(got);
	struct tap_block *b;
	size_t n = 0;

	tap_take(t, &got);
	while ((b = STAILQ_FIRST(&got)) != NULL) {
		STAILQ_REMOVE_HEAD(&got, entry);
		free(b);
		n++;
	}
	return n;
}

#define BLOCK 65536
#define MANY 1000

static void *
producer(void *arg)
{
	static const uint8_t data[BLOCK];
	struct tap *t = arg;

	for (int i = 0; i < MANY; i++) {
		struct tapmsg m = { .kind = TAPMSG_DATA, .len = BLOCK, .whole = BLOCK };

		tap_put(t, &m, data);
	}
	tap_unref(&t);
	return NULL;
}

/* Two workers, and nobody who takes: what is kept is bounded, and what is not is counted. */
static void
test_queue(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *box = mailbox_new(base);
	const struct tap_want want = { .kind = TAP_CAPTURE };
	struct tapmsg close = { .kind = TAPMSG_CLOSE };
	unsigned woken = 0;
	struct tap *t = tap_new(&want, box, count_cb, &woken);
	struct tap_count *c;
	pthread_t thread[2];
	size_t kept;

	(void)state;
	assert_non_null(t);
	c = tap_counts(t);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, producer, tap_ref(t)), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	kept = (size_t)c->records;
	assert_true(kept > 0 && kept * BLOCK <= 16 * 1024 * 1024);
	assert_int_equal(kept + c->lost, 2 * MANY);
	assert_int_equal(c->lost_bytes, c->lost * BLOCK);
	/* What says that a connection is over has room of its own. */
	tap_put(t, &close, NULL);
	assert_int_equal(c->records, kept + 1);
	/* However many there are, it is said once. */
	mailbox_drain(box);
	assert_int_equal(woken, 1);
	assert_int_equal(take_all(t), kept + 1);
	tap_put(t, &close, NULL);
	mailbox_drain(box);
	assert_int_equal(woken, 2);
	assert_int_equal(take_all(t), 1);
	/* Nobody is told any more. */
	tap_put(t, &close, NULL);
	tap_end(t);
	mailbox_drain(box);
	tap_put(t, &close, NULL);
	tap_wake(t);
	mailbox_drain(box);
	assert_int_equal(woken, 2);
	assert_int_equal(take_all(t), 1);
	tap_unref(&t);
	mailbox_free(&box);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_tapmsg),
		cmocka_unit_test(test_queue),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
