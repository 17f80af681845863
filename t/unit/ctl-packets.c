/* ctl-packets.c: packets that smbgatectl makes of bytes: sums, numbers, cuts, and their file */
#include "config.h"

#include "ctl/packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ETHER 14

struct seen {
	unsigned interface;
	uint64_t us;
	uint32_t len, whole;
	uint8_t bytes[70000];
	char comment[64];
};

static uint32_t
u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t
be(const uint8_t *p, int n)
{
	uint32_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* The next packet of a file at *at; every block is checked for its form. False: the end. */
static bool
next_packet(const uint8_t *file, size_t size, size_t *at, struct seen *s)
{
	while (*at < size) {
		const uint8_t *b = file + *at;
		uint32_t len = u32(b + 4);

		assert_true(size - *at >= 12 && len % 4 == 0 && len <= size - *at);
		assert_int_equal(u32(b + len - 4), len);
		*at += len;
		if (u32(b) != 6)
			continue;
		s->interface = u32(b + 8);
		s->us = (uint64_t)u32(b + 12) << 32 | u32(b + 16);
		s->len = u32(b + 20);
		s->whole = u32(b + 24);
		assert_true(s->len <= s->whole && s->len <= sizeof(s->bytes));
		memcpy(s->bytes, b + 28, s->len);
		s->comment[0] = '\0';
		b += 28 + (s->len + 3) / 4 * 4;
		if (b + 4 < file + *at)
			snprintf(s->comment, sizeof(s->comment), "%.*s", b[2] | b[3] << 8, b + 4);
		return true;
	}
	return false;
}

/* RFC 1071, in another way than theirs: the sum of all, with the sum in it, is 0xffff. */
static uint32_t
ones(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void
sums_good(const struct seen *s)
{
	const uint8_t *ip = s->bytes + ETHER;
	const bool v4 = be(s->bytes + 12, 2) == 0x0800;
	const uint8_t *tcp = ip + (v4 ? 20 : 40);
	const uint32_t len = s->whole - (uint32_t)(tcp - s->bytes);
	uint32_t sum;

	if (v4) {
		assert_int_equal(be(ip + 2, 2), 20 + len);
		assert_int_equal(ones(0, ip, 20), 0xffff);
		sum = ones(6 + len, ip + 12, 8);
	} else {
		assert_int_equal(be(ip + 4, 2), len);
		sum = ones(6 + len, ip + 8, 32);
	}
	if (s->len == s->whole)
		assert_int_equal(ones(sum, tcp, len), 0xffff);
}

static void
opened(struct packets *p, const char *peer, const char *own, unsigned leg, bool fresh)
{
	struct tapmsg m = { .kind = TAPMSG_OPEN, .leg = (uint8_t)leg, .fresh = fresh, .conn = 7,
		.len = TAPMSG_ENDS_LEN, .time_us = 5 };
	uint8_t data[TAPMSG_ENDS_LEN];
	struct tapmsg_ends e;

	assert_int_equal(addrport_parse(&e.peer, peer, 0), 0);
	assert_int_equal(addrport_parse(&e.own, own, 0), 0);
	tapmsg_ends_put(data, &e);
	packets_add(p, &m, data);
}

static void
sent(struct packets *p, unsigned leg, unsigned way, uint64_t offset, size_t len, size_t whole)
{
	static uint8_t bytes[200000];
	struct tapmsg m = { .kind = TAPMSG_DATA, .leg = (uint8_t)leg, .way = (uint8_t)way,
		.conn = 7, .len = (uint32_t)len, .whole = (uint32_t)whole, .offset = offset,
		.time_us = (1ull << 33) + 6 };

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((offset + i) * 7);
	packets_add(p, &m, bytes);
}

/* A packet of TCP: who it is from, its numbers, flags and length. */
static void
expect(const uint8_t *file, size_t size, size_t *at, unsigned interface, uint32_t port,
    uint32_t seq, uint32_t ack, uint32_t flags, uint32_t len, uint32_t whole)
{
	static struct seen s;
	const uint8_t *tcp;
	uint32_t head;

	assert_true(next_packet(file, size, at, &s));
	sums_good(&s);
	assert_int_equal(s.interface, interface);
	head = ETHER + (be(s.bytes + 12, 2) == 0x0800 ? 20 : 40) + 20;
	tcp = s.bytes + head - 20;
	assert_int_equal(be(tcp, 2), port);
	assert_int_equal(be(tcp + 4, 4), seq);
	assert_int_equal(be(tcp + 8, 4), ack);
	assert_int_equal(tcp[13], flags);
	assert_int_equal(s.len, head + len);
	assert_int_equal(s.whole, head + whole);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(s.bytes[head + i], (uint8_t)((seq - 1 + i) * 7));
	if (flags == 0x11)
		assert_string_equal(s.comment, "smbgate: closed: gone");
}

static void
test_packets(void **state)
{
	const struct tapmsg gone = { .kind = TAPMSG_CLOSE, .conn = 7, .len = 4 };
	char *file = NULL;
	size_t size = 0, at = 0;
	FILE *out = open_memstream(&file, &size);
	struct packets *p = packets_new(out, "test");
	const uint8_t *f;

	(void)state;
	assert_non_null(p);
	opened(p, "10.1.0.7:50122", "10.1.0.1:445", TAPMSG_CLIENT, true);
	sent(p, TAPMSG_CLIENT, TAPMSG_RECEIVED, 0, 101, 101);
	opened(p, "[fd00::2]:4450", "[fd00::1]:33000", TAPMSG_NODE, false);
	sent(p, TAPMSG_NODE, TAPMSG_SENT, 0, 101, 101);
	sent(p, TAPMSG_NODE, TAPMSG_RECEIVED, 0, 70000, 70000);
	/* A gap, and a frame of which the head is there. */
	sent(p, TAPMSG_CLIENT, TAPMSG_SENT, 1000, 68, 70000);
	packets_add(p, &gone, (const uint8_t *)"gone");
	/* Of nobody. */
	sent(p, TAPMSG_CLIENT, TAPMSG_SENT, 0, 68, 68);
	assert_int_equal(packets_odd_port(p), 4450);
	fflush(out);
	assert_int_equal(packets_bytes(p), size);
	f = (const uint8_t *)file;
	assert_int_equal(u32(f), 0x0a0d0d0a);
	expect(f, size, &at, 0, 50122, 0, 0, 0x02, 0, 0);
	expect(f, size, &at, 0, 445, 0, 1, 0x12, 0, 0);
	expect(f, size, &at, 0, 50122, 1, 1, 0x10, 0, 0);
	expect(f, size, &at, 0, 50122, 1, 1, 0x18, 101, 101);
	expect(f, size, &at, 1, 33000, 1, 1, 0x18, 101, 101);
	expect(f, size, &at, 1, 4450, 1, 102, 0x18, 61440, 61440);
	expect(f, size, &at, 1, 4450, 61441, 102, 0x18, 8560, 8560);
	expect(f, size, &at, 0, 445, 1001, 102, 0x18, 68, 61440);
	expect(f, size, &at, 0, 445, 62441, 102, 0x18, 0, 8560);
	expect(f, size, &at, 0, 445, 71001, 102, 0x11, 0, 0);
	expect(f, size, &at, 1, 33000, 102, 70001, 0x11, 0, 0);
	assert_int_equal(packets_count(p), 11);
	assert_int_equal(at, size);
	packets_free(&p);
	fclose(out);
	free(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
