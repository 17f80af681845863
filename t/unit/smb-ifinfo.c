/* smb-ifinfo.c: unit tests of interface lists: real, written and hostile ones */
#include "config.h"

#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "t/unit/lib/lists.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define E IFINFO_ENTRY_LEN

static void
le32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* ifinfo_get() of n bytes in a block of exactly that size. */
static int
get(struct ifinfo *dst, size_t max, size_t *n_r, const uint8_t *p, size_t n)
{
	uint8_t *list = exact(p, n);
	int rc = ifinfo_get(dst, max, n_r, list, n);

	free(list);
	return rc;
}

/* Two entries in len bytes, the second at `second` (a well-formed list where that is 152). */
static void
two(uint8_t *p, size_t len, size_t second)
{
	memset(p, 0, len);
	le32(p, (uint32_t)second);
	le32(p + 4, 1);
	p[24] = 0x02;
	p[28] = 10;
	p[31] = 1;
	if (second + E <= len) {
		le32(p + second + 4, 2);
		p[second + 24] = 0x17;
		p[second + 32] = 0xfd;
		p[second + 47] = 2;
	}
}

static void
real_lists(void **state)
{
	static const struct {
		const char *name;
		size_t n;
		struct {
			uint32_t ifindex, capability;
			uint64_t speed;
			const char *addr;
		} e[2];
	} rows[] = {
		{ "300-query-resp", 2, { { 8, 0, 10000000000, "127.0.0.12" },
		    { 7, 1, 1000000000, "127.0.0.11" } } },
		{ "311-query-resp-gmac", 1, { { 0xffffffff, 1, 1000000000, "127.0.0.21" } } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ifinfo e[4];
		struct ioctl2_resp a;
		uint8_t *p, out[4 * E];
		char text[ADDR_STRLEN];
		size_t len, n;

		p = vector(rows[i].name, &len);
		assert_int_equal(ioctl2_resp_get(&a, p, len), 0);
		assert_int_equal(get(e, COUNT(e), &n, a.output, a.output_len), 0);
		assert_int_equal(n, rows[i].n);
		for (size_t j = 0; j < n; j++) {
			assert_int_equal(e[j].ifindex, rows[i].e[j].ifindex);
			assert_int_equal(e[j].capability, rows[i].e[j].capability);
			assert_true(e[j].link_speed == rows[i].e[j].speed);
			assert_string_equal(addr_str(&e[j].addr, text), rows[i].e[j].addr);
		}
		/* Written again: the bytes of the server. */
		assert_int_equal(list_put(out, sizeof(out), e, n), a.output_len);
		assert_memory_equal(out, a.output, a.output_len);
		/* No room is an error, not a shorter list. */
		assert_int_equal(get(e, rows[i].n - 1, &n, a.output, a.output_len), -1);
		assert_int_equal(n, 0);
		/* The entry's last bytes are padding, and yet they belong to it. */
		for (size_t cut = 1; cut < a.output_len; cut++)
			assert_int_equal(get(e, COUNT(e), &n, a.output, cut), -1);
		assert_int_equal(get(e, COUNT(e), &n, a.output, 0), 0);
		assert_int_equal(n, 0);
		free(p);
	}
}

static void
round_trip(void **state)
{
	static const char *const addrs[] = { "10.0.0.1", "fd00::1", "::", "0.0.0.0", "fe80::1",
		"255.255.255.255", "::1" };
	struct ifinfo in[IFINFO_MAX], out[IFINFO_MAX];
	uint8_t *list = malloc(IFINFO_MAX * E);
	size_t n;

	(void)state;
	assert_non_null(list);
	for (size_t i = 0; i < IFINFO_MAX; i++) {
		in[i].ifindex = (uint32_t)(i * 0x01010101);
		in[i].capability = i % 4;
		in[i].link_speed = UINT64_C(0x0123456789abcdef) * (i + 1);
		assert_int_equal(addr_parse(&in[i].addr, addrs[i % COUNT(addrs)]), 0);
	}
	for (size_t want = 0; want <= IFINFO_MAX; want += want < 4 ? 1 : 63) {
		assert_int_equal(list_put(list, want * E, in, want), want * E);
		assert_int_equal(get(out, IFINFO_MAX, &n, list, want * E), 0);
		assert_int_equal(n, want);
		for (size_t i = 0; i < want; i++) {
			assert_int_equal(in[i].ifindex, out[i].ifindex);
			assert_int_equal(in[i].capability, out[i].capability);
			assert_true(in[i].link_speed == out[i].link_speed);
			assert_true(addr_equal(&in[i].addr, &out[i].addr));
			/* Next: 152 but in the last. */
			assert_int_equal(list[i * E], i + 1 < want ? E : 0);
		}
		if (want > 0)
			assert_int_equal(list_put(list, want * E - 1, in, want), 0);
	}
	free(list);
}

static void
written_bytes(void **state)
{
	struct ifinfo e[2] = {
		{ .ifindex = 0x04030201, .capability = 3, .link_speed = 0x0807060504030201 },
		{ .ifindex = 9 },
	};
	uint8_t out[2 * E], want[2 * E] = { 0 };
	static const uint8_t v6[16] = { 0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

	(void)state;
	e[0].addr = addr_from_v6(v6);
	assert_int_equal(addr_parse(&e[1].addr, "10.1.2.3"), 0);
	want[0] = E;
	memcpy(want + 4, "\1\2\3\4\3", 5);
	memcpy(want + 16, "\1\2\3\4\5\6\7\x08\x17", 9);
	memcpy(want + 32, v6, 16);
	want[E + 4] = 9;
	want[E + 24] = 2;
	memcpy(want + E + 28, "\12\1\2\3", 4);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(list_put(out, sizeof(out), e, 2), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
}

static void
hostile_next(void **state)
{
	/* Next of the first entry in a buffer of len bytes; the second entry lies there. */
	static const struct {
		uint32_t next;
		size_t len;
		int rc;
		size_t n;
	} rows[] = {
		{ 152, 304, 0, 2 }, { 160, 312, 0, 2 }, { 0, 304, 0, 1 },
		/* Trailing bytes, even as many as an entry has. */
		{ 152, 312, 0, 2 }, { 152, 305, 0, 2 }, { 0, 153, 0, 1 }, { 152, 456, 0, 2 },
		/* Not a whole entry behind. */
		{ 152, 303, -1, 0 }, { 152, 153, -1, 0 }, { 152, 152, -1, 0 }, { 160, 304, -1, 0 },
		{ 304, 304, -1, 0 },
		/* Overlapping, unaligned, outside, around. */
		{ 1, 304, -1, 0 }, { 4, 304, -1, 0 }, { 8, 304, -1, 0 }, { 144, 304, -1, 0 },
		{ 151, 304, -1, 0 }, { 153, 308, -1, 0 }, { 156, 308, -1, 0 }, { 312, 304, -1, 0 },
		{ 0x7ffffff8, 304, -1, 0 }, { 0x80000000, 304, -1, 0 }, { 0xffffff68, 304, -1, 0 },
		{ 0xfffffff8, 304, -1, 0 }, { 0xffffffff, 304, -1, 0 },
	};
	struct ifinfo e[8];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t list[512];
		size_t n;
		int rc;

		two(list, sizeof(list),
		    rows[i].next >= E && rows[i].next <= 160 ? rows[i].next : E);
		le32(list, rows[i].next);
		rc = get(e, COUNT(e), &n, list, rows[i].len);
		if (rc != rows[i].rc || n != rows[i].n)
			fail_msg("next %#x in %zu: %d, %zu entries", rows[i].next, rows[i].len, rc,
			    n);
		if (n == 2) {
			assert_int_equal(e[1].ifindex, 2);
			assert_false(addr_is_v4(&e[1].addr));
		}
	}
}

static void
endless(void **state)
{
	/* Every entry says that one more follows: the buffer's end ends it, as an error. */
	size_t len = 10000 * E, n;
	uint8_t *list = malloc(len);
	struct ifinfo e[IFINFO_MAX];

	(void)state;
	assert_non_null(list);
	for (size_t i = 0; i < 10000; i++) {
		two(list + i * E, E, E);
		/* A family that does not count, so that no maximum ends the walk before. */
		list[i * E + 24] = 0x20;
	}
	assert_int_equal(get(e, IFINFO_MAX, &n, list, len), -1);
	le32(list + len - E, 0);
	assert_int_equal(get(e, IFINFO_MAX, &n, list, len), 0);
	assert_int_equal(n, 0);
	/* One that counts too much. */
	for (size_t i = 0; i <= IFINFO_MAX; i++)
		list[i * 2 * E + 24] = 0x02;
	assert_int_equal(get(e, IFINFO_MAX, &n, list, len), -1);
	list[24] = 0x20;
	assert_int_equal(get(e, IFINFO_MAX, &n, list, len), 0);
	assert_int_equal(n, IFINFO_MAX);
	free(list);
}

static void
families(void **state)
{
	static const struct {
		uint8_t lo, hi;
		bool taken;
	} rows[] = {
		{ 0x02, 0, true }, { 0x17, 0, true },
		/* This host's AF_INET6, a wrong byte order, none, and others. */
		{ 0x0a, 0, false }, { 0, 0x02, false }, { 0, 0x17, false }, { 0, 0, false },
		{ 0x02, 0x01, false }, { 0xff, 0xff, false }, { 0x1e, 0, false },
	};
	struct ifinfo e[2];
	uint8_t list[2 * E];
	size_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		two(list, sizeof(list), E);
		list[24] = rows[i].lo;
		list[25] = rows[i].hi;
		assert_int_equal(get(e, 2, &n, list, sizeof(list)), 0);
		assert_int_equal(n, rows[i].taken ? 2 : 1);
		assert_int_equal(e[0].ifindex, rows[i].taken ? 1 : 2);
	}

	/* IPv4 that says it is IPv6: mapped is IPv4, the bytes of a sockaddr_in are an odd IPv6. */
	two(list, sizeof(list), E);
	list[24] = 0x17;
	memset(list + 28, 0, 20);
	memcpy(list + 32 + 10, "\xff\xff\12\0\0\7", 6);
	assert_int_equal(get(e, 2, &n, list, sizeof(list)), 0);
	assert_true(addr_is_v4(&e[0].addr));
	assert_int_equal(e[0].addr.b[15], 7);
	/* Port, FlowInfo, ScopeId and the rest of the storage do not matter. */
	memset(list + 26, 0xee, 6);
	memset(list + 48, 0xee, E - 48);
	assert_int_equal(get(e, 2, &n, list, sizeof(list)), 0);
	assert_true(addr_is_v4(&e[0].addr));
	assert_int_equal(e[0].addr.b[15], 7);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_lists),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(written_bytes),
		cmocka_unit_test(hostile_next),
		cmocka_unit_test(endless),
		cmocka_unit_test(families),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
