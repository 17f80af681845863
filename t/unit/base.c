/* base.c: unit tests of base: reader, writer, addresses, prefixes, GUIDs, log, hash */
#include "config.h"

#include "base/addr.h"
#include "base/guid.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/siphash.h"
#include "base/wr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
rd_values(void **state)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
		19, 20 };
	struct rd r = rd_init(in, sizeof(in));
	uint8_t two[2];

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x0302);
	assert_int_equal(rd_u32(&r), 0x07060504);
	assert_true(rd_u64(&r) == 0x0f0e0d0c0b0a0908u);
	assert_int_equal(rd_be24(&r), 0x101112);
	assert_int_equal(rd_left(&r), 2);
	rd_copy(&r, two, sizeof(two));
	assert_int_equal(two[0], 19);
	assert_int_equal(two[1], 20);
	assert_non_null(rd_bytes(&r, 0));
	assert_true(rd_ok(&r));
	assert_int_equal(rd_u8(&r), 0);
	assert_false(rd_ok(&r));
}

static void
rd_big_endian(void **state)
{
	static const uint8_t in[] = { 0x81, 2, 0x83, 4, 5, 0x86, 7, 8, 9, 10 };
	struct rd r = rd_init(in, sizeof(in));

	(void)state;
	assert_int_equal(rd_be16(&r), 0x8102);
	assert_true(rd_be32(&r) == 0x83040586u);
	assert_int_equal(rd_be24(&r), 0x070809);
	/* Nothing is moved, nor half read, where there is too little. */
	assert_int_equal(rd_be16(&r), 0);
	assert_false(rd_ok(&r));
	assert_int_equal(r.pos, 9);
	assert_int_equal(rd_be32(&r), 0);
}

/* Every getter at every distance from the end: in range it works, out of range nothing moves. */
static void
rd_ends(void **state)
{
	static const uint8_t in[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const struct { size_t size; bool big; } kinds[] = { { 1, false }, { 2, false },
		{ 2, true }, { 3, true }, { 4, false }, { 4, true }, { 8, false } };

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		for (size_t left = 0; left <= 8; left++) {
			/* A block of its own, so that a sanitizer sees the byte behind it. */
			uint8_t *block = malloc(left);
			struct rd r = rd_init(block, left);
			size_t size = kinds[i].size;
			bool fits = size <= left, big = kinds[i].big;
			uint64_t v = 0;

			if (left > 0)
				memcpy(block, in, left);
			switch (size) {
			case 1: v = rd_u8(&r); break;
			case 2: v = big ? rd_be16(&r) : rd_u16(&r); break;
			case 3: v = rd_be24(&r); break;
			case 4: v = big ? rd_be32(&r) : rd_u32(&r); break;
			case 8: v = rd_u64(&r); break;
			}
			assert_int_equal(rd_ok(&r), fits);
			assert_int_equal(v != 0, fits);
			assert_int_equal(rd_left(&r), fits ? left - size : 0);
			assert_int_equal(r.pos, fits ? size : 0);
			free(block);
		}
	}
}

static void
rd_sticky(void **state)
{
	static const uint8_t in[4] = { 1, 2, 3, 4 };
	struct rd r = rd_init(in, sizeof(in));
	uint8_t copy[3] = { 9, 9, 9 };

	(void)state;
	rd_skip(&r, 5);
	assert_false(rd_ok(&r));
	/* All of these would fit, had nothing failed before. */
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_bytes(&r, 0));
	rd_seek(&r, 0);
	rd_copy(&r, copy, sizeof(copy));
	assert_int_equal(copy[0] | copy[1] | copy[2], 0);
	assert_int_equal(rd_left(&r), 0);
	assert_false(rd_ok(&r));
}

static void
rd_ranges(void **state)
{
	static const uint8_t in[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	static const struct {
		size_t off, n;
		bool ok;
	} subs[] = {
		{ 0, 0, true }, { 0, 8, true }, { 8, 0, true }, { 3, 5, true }, { 3, 6, false },
		{ 9, 0, false }, { 0, 9, false }, { SIZE_MAX, 1, false }, { 1, SIZE_MAX, false },
		{ SIZE_MAX, SIZE_MAX, false }, { 4, SIZE_MAX - 3, false },
	};
	struct rd r;

	(void)state;
	for (size_t i = 0; i < COUNT(subs); i++) {
		struct rd sub;

		r = rd_init(in, sizeof(in));
		sub = rd_sub(&r, subs[i].off, subs[i].n);
		assert_int_equal(rd_ok(&sub), subs[i].ok);
		assert_int_equal(rd_ok(&r), subs[i].ok);
		assert_int_equal(rd_left(&sub), subs[i].ok ? subs[i].n : 0);
		if (subs[i].ok && subs[i].n > 0)
			assert_int_equal(rd_u8(&sub), subs[i].off);
	}
	r = rd_init(in, sizeof(in));
	rd_seek(&r, 8);
	assert_true(rd_ok(&r));
	assert_int_equal(rd_left(&r), 0);
	rd_seek(&r, 2);
	assert_int_equal(rd_u8(&r), 2);
	rd_skip(&r, SIZE_MAX);
	assert_false(rd_ok(&r));
	r = rd_init(in, sizeof(in));
	rd_seek(&r, 9);
	assert_false(rd_ok(&r));
}

static void
wr_values(void **state)
{
	static const uint8_t want[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 1, 2, 3,
		'x', 'y', 0, 0, 0, 0 };
	uint8_t out[sizeof(want)];
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	memset(out, 0xee, sizeof(out));
	wr_u8(&w, 1);
	wr_u16(&w, 0x0203);
	wr_u32(&w, 0x04050607);
	wr_u64(&w, 0x08090a0b0c0d0e0f);
	wr_be24(&w, 0x010203);
	wr_bytes(&w, "xy", 2);
	wr_zero(&w, 1);
	wr_pad(&w, 0, 8);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	wr_pad(&w, 0, 8);
	wr_bytes(&w, NULL, 0);
	wr_zero(&w, 0);
	assert_true(wr_ok(&w));
	wr_u8(&w, 1);
	assert_false(wr_ok(&w));
	assert_int_equal(wr_len(&w), sizeof(want));
}

static void
wr_overflow(void **state)
{
	uint8_t out[4] = { 0xee, 0xee, 0xee, 0xee };
	static const uint8_t untouched[4] = { 0xee, 0xee, 0xee, 0xee };
	struct wr w = wr_init(out, 3);

	(void)state;
	wr_u32(&w, 1);
	assert_false(wr_ok(&w));
	/* Sticky: these would fit. */
	wr_u8(&w, 1);
	wr_u16(&w, 1);
	wr_zero(&w, 1);
	assert_int_equal(wr_len(&w), 0);
	assert_memory_equal(out, untouched, sizeof(out));

	w = wr_init(out, 3);
	wr_zero(&w, SIZE_MAX);
	assert_false(wr_ok(&w));
	assert_memory_equal(out, untouched, sizeof(out));
}

static void
wr_patch(void **state)
{
	uint8_t out[8];
	static const uint8_t want[8] = { 0, 0x22, 0x11, 0, 0x66, 0x55, 0x44, 0x33 };
	static const size_t beyond[] = { 5, 8, 9, SIZE_MAX };
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	wr_zero(&w, 8);
	wr_u16_at(&w, 1, 0x1122);
	wr_u32_at(&w, 4, 0x33445566);
	assert_true(wr_ok(&w));
	assert_memory_equal(out, want, sizeof(want));
	for (size_t i = 0; i < COUNT(beyond); i++) {
		struct wr x = w;

		wr_u32_at(&x, beyond[i], 0);
		assert_false(wr_ok(&x));
		assert_memory_equal(out, want, sizeof(want));
	}
	/* Room that is there, but not written yet, cannot be patched. */
	w = wr_init(out, sizeof(out));
	wr_u8(&w, 0);
	wr_u16_at(&w, 0, 7);
	assert_false(wr_ok(&w));

	/* Alignment counts from the message, not from the range. */
	w = wr_init(out, sizeof(out));
	wr_u8(&w, 1);
	wr_u8(&w, 2);
	wr_pad(&w, 1, 4);
	assert_int_equal(wr_len(&w), 5);
	wr_pad(&w, 6, 4);
	assert_false(wr_ok(&w));
}

static void
addr_texts(void **state)
{
	static const struct {
		const char *in, *out;
		bool v4;
	} good[] = {
		{ "10.0.0.1", "10.0.0.1", true },
		{ "255.255.255.255", "255.255.255.255", true },
		{ "::ffff:10.0.0.1", "10.0.0.1", true },
		{ "::FFFF:0a00:0001", "10.0.0.1", true },
		{ "FD00:0::0001", "fd00::1", false },
		{ "::", "::", false },
		{ "::1", "::1", false },
		{ "::fffe:10.0.0.1", "::fffe:a00:1", false },
		{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", false },
	};
	static const char *const bad[] = { "", " ", "10.0.0", "10.0.0.256", "10.0.0.01",
		"10.0.0.1 ", " 10.0.0.1", "10.0.0.1.", "0x0a.0.0.1", "10.1", "node1",
		"fe80::1%eth0", "fe80::1%2", "[::1]", "::1/128", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", ":::", "::12345", "::1::2", "10.0.0.1:445",
		"::ffff:10.0.0.1:1",
		"1111:1111:1111:1111:1111:1111:255.255.255.2555" };
	char text[ADDR_STRLEN];
	struct addr a, b;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(addr_parse(&a, good[i].in), 0);
		assert_string_equal(addr_str(&a, text), good[i].out);
		assert_int_equal(addr_is_v4(&a), good[i].v4);
		assert_int_equal(addr_parse(&b, text), 0);
		assert_true(addr_equal(&a, &b));
		/* Equal texts are the same value, others are not. */
		for (size_t j = 0; j < COUNT(good); j++) {
			assert_int_equal(addr_parse(&b, good[j].in), 0);
			assert_int_equal(addr_equal(&a, &b), strcmp(good[i].out, good[j].out) == 0);
		}
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (addr_parse(&a, bad[i]) != -1)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void
addrport_texts(void **state)
{
	static const struct {
		const char *in;
		uint16_t def;
		const char *out;	/* NULL: refused */
	} rows[] = {
		{ "10.0.0.1:445", 0, "10.0.0.1:445" },
		{ "10.0.0.1:1", 445, "10.0.0.1:1" },
		{ "10.0.0.1", 445, "10.0.0.1:445" },
		{ "10.0.0.1", 0, NULL },
		{ "[fd00::1]:65535", 0, "[fd00::1]:65535" },
		{ "[fd00::1]", 445, "[fd00::1]:445" },
		{ "[fd00::1]", 0, NULL },
		{ "fd00::1", 445, "[fd00::1]:445" },
		{ "fd00::1", 0, NULL },
		{ "fd00::1:445", 0, NULL },
		{ "[::ffff:10.0.0.1]:445", 0, "10.0.0.1:445" },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0,
		    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "10.0.0.1:", 445, NULL }, { "10.0.0.1:0", 445, NULL },
		{ "10.0.0.1:65536", 445, NULL }, { "10.0.0.1:4294967741", 445, NULL },
		{ "10.0.0.1:0445", 445, NULL }, { "10.0.0.1:+445", 445, NULL },
		{ "10.0.0.1: 445", 445, NULL }, { "10.0.0.1:445 ", 445, NULL },
		{ "10.0.0.1:445:1", 445, NULL }, { "[10.0.0.1]:445", 445, NULL },
		{ "[fd00::1]445", 445, NULL }, { "[fd00::1]:", 445, NULL },
		{ "[fd00::1", 445, NULL },
		{ "fd00::1]", 445, NULL }, { "[[fd00::1]]", 445, NULL }, { "[]:445", 445, NULL },
		{ ":445", 445, NULL }, { "", 445, NULL }, { "node1:445", 445, NULL },
		{ "[fe80::1%2]:445", 445, NULL },
	};
	char text[ADDR_STRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addrport a;
		int rc = addrport_parse(&a, rows[i].in, rows[i].def);

		if (rc != (rows[i].out == NULL ? -1 : 0))
			fail_msg("\"%s\": %d", rows[i].in, rc);
		if (rc == 0)
			assert_string_equal(addrport_str(&a, text), rows[i].out);
	}
}

static void
prefix_texts(void **state)
{
	static const struct {
		const char *in, *out;	/* NULL: refused */
	} rows[] = {
		{ "10.1.0.0/24", "10.1.0.0/24" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "10.1.2.3", "10.1.2.3/32" },
		{ "10.1.2.3/32", "10.1.2.3/32" },
		{ "128.0.0.0/1", "128.0.0.0/1" },
		{ "fd00:1::/64", "fd00:1::/64" },
		{ "fd00::1", "fd00::1/128" },
		{ "::/0", "::/0" },
		{ "8000::/1", "8000::/1" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
		{ "::ffff:10.1.2.3", "10.1.2.3/32" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" },
		/* Host bits. */
		{ "10.1.0.1/24", NULL }, { "128.0.0.0/0", NULL }, { "10.0.0.1/31", NULL },
		{ "fd00:1::1/64", NULL }, { "fd00::1/127", NULL }, { "::ffff:10.0.0.0/102", NULL },
		{ "::ffff:0.0.0.0/95", NULL }, { "::1/0", NULL },
		/* Lengths. */
		{ "10.0.0.0/33", NULL }, { "10.0.0.0/-1", NULL }, { "10.0.0.0/", NULL },
		{ "10.0.0.0/08", NULL }, { "10.0.0.0/8 ", NULL }, { "10.0.0.0/ 8", NULL },
		{ "10.0.0.0/+8", NULL }, { "10.0.0.0/8/8", NULL }, { "10.0.0.0/255.0.0.0", NULL },
		{ "::/129", NULL }, { "::/4294967296", NULL }, { "::/18446744073709551616", NULL },
		/* Addresses. */
		{ "/8", NULL }, { "", NULL }, { "10/8", NULL }, { "any", NULL }, { "[::]/0", NULL },
	};
	char text[ADDR_STRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prefix p, again;
		int rc = prefix_parse(&p, rows[i].in);

		if (rc != (rows[i].out == NULL ? -1 : 0))
			fail_msg("\"%s\": %d", rows[i].in, rc);
		if (rc != 0)
			continue;
		assert_string_equal(prefix_str(&p, text), rows[i].out);
		assert_int_equal(prefix_parse(&again, text), 0);
		assert_true(prefix_equal(&p, &again));
	}
}

static void
prefix_matches(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool match;
	} rows[] = {
		{ "10.1.0.0/24", "10.1.0.0", true }, { "10.1.0.0/24", "10.1.0.255", true },
		{ "10.1.0.0/24", "10.1.1.0", false }, { "10.1.0.0/24", "::ffff:10.1.0.7", true },
		{ "10.1.0.0/23", "10.1.1.0", true }, { "10.1.0.0/23", "10.1.2.0", false },
		{ "128.0.0.0/1", "255.0.0.1", true }, { "128.0.0.0/1", "127.0.0.1", false },
		{ "0.0.0.0/0", "1.2.3.4", true }, { "0.0.0.0/0", "fd00::1", false },
		{ "0.0.0.0/0", "::1.2.3.4", false }, { "10.0.0.1", "10.0.0.1", true },
		{ "10.0.0.1", "10.0.0.0", false }, { "::ffff:10.0.0.0/104", "10.200.0.1", true },
		{ "fd00:1::/64", "fd00:1::ffff", true }, { "fd00:1::/64", "fd00:1:0:1::", false },
		{ "fc00::/7", "fdff::1", true }, { "fc00::/7", "fe00::1", false },
		{ "::/0", "fd00::1", true },
		/* IPv6 texts mean IPv6 alone. */
		{ "::/0", "1.2.3.4", false }, { "::/64", "1.2.3.4", false },
		{ "::/80", "10.0.0.1", false }, { "::/64", "::1", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prefix p;
		struct addr a;

		assert_int_equal(prefix_parse(&p, rows[i].prefix), 0);
		assert_int_equal(addr_parse(&a, rows[i].addr), 0);
		if (prefix_match(&p, &a) != rows[i].match)
			fail_msg("%s in %s", rows[i].addr, rows[i].prefix);
		p = prefix_host(&a);
		assert_true(prefix_match(&p, &a));
	}
}

static void
addr_kinds(void **state)
{
	static const struct {
		const char *addr;
		bool unspecified, linklocal, loopback;
	} rows[] = {
		{ .addr = "0.0.0.0", .unspecified = true }, { .addr = "::", .unspecified = true },
		{ .addr = "0.0.0.1" }, { .addr = "10.0.0.1" },
		{ .addr = "::1", .loopback = true }, { .addr = "::2" }, { .addr = "8000::1" },
		{ .addr = "127.0.0.0", .loopback = true }, { .addr = "127.255.255.255", .loopback = true },
		{ .addr = "126.255.255.255" }, { .addr = "128.0.0.0" },
		{ .addr = "::ffff:127.0.0.1", .loopback = true },
		{ .addr = "169.254.0.0", .linklocal = true },
		{ .addr = "169.254.255.255", .linklocal = true }, { .addr = "169.253.0.1" },
		{ .addr = "169.255.0.1" }, { .addr = "fe80::1", .linklocal = true },
		{ .addr = "febf::1", .linklocal = true }, { .addr = "fec0::1" }, { .addr = "fe7f::1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a;

		assert_int_equal(addr_parse(&a, rows[i].addr), 0);
		assert_int_equal(addr_is_unspecified(&a), rows[i].unspecified);
		assert_int_equal(addr_is_linklocal(&a), rows[i].linklocal);
		assert_int_equal(addr_is_loopback(&a), rows[i].loopback);
	}
}

static void
addr_sockets(void **state)
{
	static const struct {
		const char *text;
		int family;
		socklen_t len;
	} rows[] = {
		{ "10.0.0.1:445", AF_INET, sizeof(struct sockaddr_in) },
		{ "[fd00::1]:1445", AF_INET6, sizeof(struct sockaddr_in6) },
	};
	struct sockaddr_storage ss;
	struct addrport a, b;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(445) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char text[ADDR_STRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(&ss, 0xee, sizeof(ss));
		assert_int_equal(addrport_parse(&a, rows[i].text, 0), 0);
		assert_int_equal(addrport_to_sa(&a, &ss), rows[i].len);
		assert_int_equal(ss.ss_family, rows[i].family);
		assert_int_equal(addrport_from_sa(&b, (const struct sockaddr *)&ss), 0);
		assert_string_equal(addrport_str(&b, text), rows[i].text);
	}
	/* What a dual-stack socket says about an IPv4 peer. */
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &in6.sin6_addr), 1);
	assert_int_equal(addrport_from_sa(&a, (const struct sockaddr *)&in6), 0);
	assert_string_equal(addrport_str(&a, text), "10.0.0.1:445");
	assert_int_equal(addrport_from_sa(&a, (const struct sockaddr *)&un), -1);
}

static void
guid_text(void **state)
{
	static const struct guid g = { { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99,
		0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff } };
	static const struct guid zero;
	char text[GUID_STRLEN];

	(void)state;
	assert_string_equal(guid_str(&g, text), "00112233-4455-6677-8899-aabbccddeeff");
	assert_true(guid_is_zero(&zero));
	assert_false(guid_is_zero(&g));
	assert_true(guid_equal(&g, &g));
	assert_false(guid_equal(&g, &zero));
}

/* Runs fn with stderr going to a pipe; returns what came out, in a buffer of n bytes. */
static void
captured(void (*fn)(void), char *out, size_t n)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t got;

	assert_true(saved >= 0);
	assert_int_equal(pipe(fds), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	/* What log_open() opened was the stderr of before. */
	log_close();
	fn();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(fds[1]);
	/* All lines together are smaller than a pipe, so one read has them all. */
	got = read(fds[0], out, n - 1);
	close(fds[0]);
	assert_true(got >= 0);
	out[got] = '\0';
}

static void
log_some(void)
{
	log_error("node %s: %d", "n1", 7);
	log_warn("name \"%s\"", "a\nerror: b\x1b[31m\x7f\t");
	errno = ENOENT;
	log_info("open: %m");
	assert_int_equal(errno, ENOENT);
	log_debug("not seen");
}

static void
log_long(void)
{
	static char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	log_error("%s", big);
}

static void
log_lines(void **state)
{
	char out[8192];

	(void)state;
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	captured(log_some, out, sizeof(out));
	assert_string_equal(out, "error: node n1: 7\n"
	    "warning: name \"a?error: b?[31m??\"\n"
	    "info: open: No such file or directory\n");
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	captured(log_some, out, sizeof(out));
	assert_string_equal(out, "error: node n1: 7\n");
	captured(log_long, out, sizeof(out));
	assert_true(strlen(out) > 1000 && strlen(out) < 1100);
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

static void
log_conns(void)
{
	struct addrport client;

	assert_int_equal(addrport_parse(&client, "10.1.0.7:50122", 0), 0);
	log_conn(LOG_LEVEL_INFO, (struct log_fields){ .id = 12, .client = &client }, "begins");
	log_conn(LOG_LEVEL_WARN, (struct log_fields){ .id = 12, .client = &client, .node = "n1" },
	    "%s after %u s", "closed", 3);
	log_conn(LOG_LEVEL_DEBUG, (struct log_fields){ .id = 12, .client = &client }, "not seen");
}

/* The longest prefix there is leaves room for a text. */
static void
log_conn_long(void)
{
	char node[64];
	struct addrport client;

	memset(node, 'n', sizeof(node) - 1);
	node[sizeof(node) - 1] = '\0';
	assert_int_equal(addrport_parse(&client,
	    "[2001:1111:2222:3333:4444:5555:6666:7777]:65535", 0), 0);
	log_conn(LOG_LEVEL_ERROR, (struct log_fields){ .id = UINT64_MAX, .client = &client,
	    .node = node }, "the end");
}

static void
log_connection(void **state)
{
	char out[2048];

	(void)state;
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	captured(log_conns, out, sizeof(out));
	assert_string_equal(out, "info: conn 12 10.1.0.7:50122: begins\n"
	    "warning: conn 12 10.1.0.7:50122 > n1: closed after 3 s\n");
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	captured(log_conns, out, sizeof(out));
	assert_string_equal(out, "");
	captured(log_conn_long, out, sizeof(out));
	assert_non_null(strstr(out, "conn 18446744073709551615 "
	    "[2001:1111:2222:3333:4444:5555:6666:7777]:65535 > nnn"));
	assert_non_null(strstr(out, "nnn: the end\n"));
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	captured(log_conns, out, sizeof(out));
	assert_non_null(strstr(out, "debug: conn 12 10.1.0.7:50122: not seen\n"));
}

/* The key is 00 01 .. 0f, the input 00 01 .. of so many bytes: the values of its authors. */
static void
hash_known(void **state)
{
	static const struct {
		size_t n;
		uint64_t want;
	} all[] = {
		{ 0, 0x726fdb47dd0e0e31 },
		{ 1, 0x74f839c593dc67fd },
		{ 7, 0xab0200f58b01d137 },
		{ 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 },
		{ 63, 0x958a324ceb064572 },
	};
	uint8_t key[SIPHASH_KEY_LEN], in[64];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	memcpy(key, in, sizeof(key));
	for (size_t i = 0; i < COUNT(all); i++)
		/* However it is cut. */
		for (size_t cut = 0; cut <= all[i].n; cut++)
			assert_true(siphash(key, in, cut, in + cut, all[i].n - cut) == all[i].want);
	key[15] ^= 0x80;
	assert_true(siphash(key, in, 15, NULL, 0) != all[4].want);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rd_values),
		cmocka_unit_test(rd_big_endian),
		cmocka_unit_test(rd_ends),
		cmocka_unit_test(rd_sticky),
		cmocka_unit_test(rd_ranges),
		cmocka_unit_test(wr_values),
		cmocka_unit_test(wr_overflow),
		cmocka_unit_test(wr_patch),
		cmocka_unit_test(addr_texts),
		cmocka_unit_test(addrport_texts),
		cmocka_unit_test(prefix_texts),
		cmocka_unit_test(prefix_matches),
		cmocka_unit_test(addr_kinds),
		cmocka_unit_test(addr_sockets),
		cmocka_unit_test(guid_text),
		cmocka_unit_test(hash_known),
		cmocka_unit_test(log_lines),
		cmocka_unit_test(log_connection),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
