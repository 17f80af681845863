/* state-rests.c: what proxies tell each other of drained nodes, and what none has told */
#include "config.h"

#include "state/peers.h"
#include "state/reply.h"
#include "state/rests.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

static enum rest_says
find(const char *line, size_t len, uint64_t order, struct rest *x)
{
	/* Apart, and ended by nothing: a sanitizer sees what is read behind it. */
	char *copy = malloc(len > 0 ? len : 1);
	struct rests_said said;
	enum rest_says says;

	assert_non_null(copy);
	memcpy(copy, line, len);
	rests_read(&said, copy, len);
	free(copy);
	says = rests_find(&said, order, x);
	assert_true(says == REST_SAID || (x->connections == 0 && x->clients == 0 && x->cut == 0));
	return says;
}

#define FIND(s, order, x) find(s, sizeof(s) - 1, order, x)

static void
test_there_and_back(void **state)
{
	const struct rest all[] = {
		{ 0, 0, 0, 0 },
		{ 0x00000000000000ff, 3, 2, 1 },
		{ UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
	};
	struct rests r = { .len = 0 };
	struct rests_said said;
	char line[RESTS_LINE];
	struct rest x;
	size_t len;

	(void)state;
	len = rests_line(&r, 0, line);
	assert_string_equal(line, "0");
	rests_read(&said, line, len);
	assert_int_equal(said.says, REST_SAID);
	assert_int_equal(rests_find(&said, 7, &x), REST_NOT_YET);
	for (size_t i = 0; i < 3; i++)
		rests_add(&r, &all[i]);
	len = rests_line(&r, 1234, line);
	assert_string_equal(line, "1234 0000000000000000:0:0:0 00000000000000ff:3:2:1 "
	    "ffffffffffffffff:4294967295:4294967295:4294967295");
	assert_int_equal(len, strlen(line));
	rests_read(&said, line, len);
	assert_int_equal(said.age_ms, 1234);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(rests_find(&said, all[i].order, &x), REST_SAID);
		assert_true(x.order == all[i].order && x.connections == all[i].connections &&
		    x.clients == all[i].clients && x.cut == all[i].cut);
	}
	assert_int_equal(rests_find(&said, 0xfe, &x), REST_NOT_YET);
	(void)rests_line(&r, UINT64_MAX, line);
	assert_memory_equal(line, "4294967295 ", 11);
}

/* What does not fit is not said, and so is not over. */
static void
test_many(void **state)
{
	struct rests r = { .len = 0 };
	struct rests_said said;
	char line[RESTS_LINE];
	struct rest x;
	size_t len, found = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		rests_add(&r, &(struct rest){ .order = i << 32, .connections = (uint32_t)i });
	assert_true(r.len < sizeof(r.text) && r.text[r.len] == '\0');
	len = rests_line(&r, UINT64_MAX, line);
	assert_int_equal(len, strlen(line));
	rests_read(&said, line, len);
	for (uint64_t i = 0; i < 1000; i++) {
		if (rests_find(&said, i << 32, &x) != REST_SAID)
			continue;
		assert_int_equal(x.connections, i);
		found++;
	}
	assert_in_range(found, 256, 999);
}

static void
test_nothing_said(void **state)
{
	struct rests_said said;
	struct rest x;

	(void)state;
	rests_read(&said, NULL, 0);
	assert_int_equal(rests_find(&said, 0xff, &x), REST_NEVER);
	assert_int_equal(FIND("", 0xff, &x), REST_NEVER);
	assert_int_equal(FIND("0", 0xff, &x), REST_NOT_YET);
}

#define GOOD "17 00000000000000ff:3:2:1"

static void
test_hostile(void **state)
{
	static const char *const bad[] = {
		" ", "x", "-1", "+1", "0x1", "17 ", "17  00000000000000ff:3:2:1",
		" 17 00000000000000ff:3:2:1", "17\t00000000000000ff:3:2:1",
		/* out of range, or too long */
		"4294967296 00000000000000ff:3:2:1", "99999999999 00000000000000ff:3:2:1",
		"00000000017 00000000000000ff:3:2:1",
		"17 00000000000000ff:4294967296:2:1", "17 00000000000000ff:3:9999999999:1",
		"17 00000000000000ff:3:2:18446744073709551617", "17 00000000000000ff:-3:2:1",
		"17 00000000000000ff:+3:2:1", "17 00000000000000ff: 3:2:1",
		/* no order */
		"17 ff:3:2:1", "17 0000000000000ff:3:2:1", "17 000000000000000ff:3:2:1",
		"17 00000000000000FF:3:2:1", "17 00000000000000fg:3:2:1", "17 :3:2:1",
		/* something is missing */
		"17 00000000000000ff", "17 00000000000000ff:", "17 00000000000000ff:3",
		"17 00000000000000ff:3:2", "17 00000000000000ff:3:2:", "17 00000000000000ff::2:1",
		"17 00000000000000ff:3:2:1 ", "17 00000000000000ff:3:2:1x",
		"17 x 00000000000000ff:3:2:1",
	};
	static const char *const behind[] = { " x", " 0000000000000001:0:0", "\n",
		" 0000000000000001:0:0:0 " };
	char line[64];
	struct rest x;

	(void)state;
	assert_int_equal(FIND(GOOD, 0xff, &x), REST_SAID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (find(bad[i], strlen(bad[i]), 0xff, &x) != REST_NOT_YET)
			fail_msg("\"%s\" is understood", bad[i]);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		snprintf(line, sizeof(line), "%s%s", GOOD, behind[i]);
		assert_int_equal(find(line, strlen(line), 0xff, &x), REST_NOT_YET);
	}
	assert_int_equal(FIND(GOOD "\0", 0xff, &x), REST_NOT_YET);
	assert_int_equal(FIND("17 00000000000000ff:3\0:2:1", 0xff, &x), REST_NOT_YET);
	assert_int_equal(FIND("17 00000000000000ff:3:2:1:x\0y", 0xff, &x), REST_NOT_YET);
}

/* A line that ends early says less, or nothing; never that nobody is left. */
static void
test_truncated(void **state)
{
	static const char line[] = "17 0000000000000001:0:0:0 00000000000000ff:30:20:10";
	struct rest x;

	(void)state;
	for (size_t n = 0; n < sizeof(line) - 1; n++)
		if (find(line, n, 0xff, &x) == REST_SAID)
			assert_int_equal(x.connections, 30);
}

static void
test_too_long(void **state)
{
	char *line = malloc(2 * RESTS_LINE);
	struct rest x;
	size_t len = 1;

	(void)state;
	assert_non_null(line);
	line[0] = '0';
	for (; len + 23 < 2 * RESTS_LINE; len += 23) {
		memcpy(line + len, " 00000000000000ff:0:0:0", 23);
		if ((find(line, len + 23, 0xff, &x) == REST_SAID) != (len + 22 < NAMES_RESTS_MAX))
			fail_msg("%zu bytes", len + 23);
	}
	free(line);
}

/* A later version may say more; said twice, the worse one counts. */
static void
test_more(void **state)
{
	struct rest x;

	(void)state;
	assert_int_equal(FIND("17 00000000000000ff:3:2:1:x:y 0000000000000001:0:0:0", 0xff, &x),
	    REST_SAID);
	assert_int_equal(x.cut, 1);
	assert_int_equal(FIND("0 0000000000000001:0:0:0 0000000000000001:5:0:0 "
	                      "0000000000000001:0:0:0", 1, &x), REST_SAID);
	assert_int_equal(x.connections, 5);
}

/* The other line of a proxy: it is of this cluster, or of another one. */
static bool
peer_of(size_t token_len, const char *line, struct peer *p)
{
	char name[] = "0123456789abcdef";
	struct redisReply token = { .type = REDIS_REPLY_STRING, .str = name, .len = token_len };
	struct redisReply text = { .type = REDIS_REPLY_STRING, .len = strlen(line) };
	struct redisReply *both[] = { &token, &text };
	const struct redisReply all = { .type = REDIS_REPLY_ARRAY, .elements = 2,
		.element = both };
	bool is;

	text.str = strdup(line);
	assert_non_null(text.str);
	is = peer_read(&all, 0, 10000, "0123abcd", 7, p);
	free(text.str);
	return is;
}

static bool
peer(const char *line, struct peer *p)
{
	return peer_of(NAMES_TOKEN_LEN, line, p);
}

static void
test_peer(void **state)
{
	char longest[256];
	struct peer p;

	(void)state;
	assert_true(peer("14000 3 0123abcd 0000000000000007 here", &p));
	assert_true(p.same_secret && p.same_nodes && p.age_ms == 1000);
	assert_string_equal(p.name, "here");
	assert_string_equal(p.token, "0123456789abcdef");
	assert_false(peer_of(NAMES_TOKEN_LEN - 1, "14000 3 0123abcd 0000000000000007 here", &p));
	assert_true(peer("10000 3 0123abce 0000000000000007 a\x1b[1m;", &p));
	assert_true(!p.same_secret && p.same_nodes && p.age_ms == NAMES_LEASE_MS);
	assert_string_equal(p.name, "a??1m?");
	assert_false(peer("", &p));
	assert_false(peer("14000 3 0123abcd 0000000000000007", &p));
	assert_false(peer("x 3 0123abcd 0000000000000007 here", &p));
	memset(longest, 'n', sizeof(longest));
	memcpy(longest, "14000 3 0123abcd 0000000000000007 ", 34);
	longest[199] = '\0';
	assert_true(peer(longest, &p));
	assert_int_equal(strlen(p.name), PEER_NAME_MAX - 1);
	longest[199] = 'n';
	longest[200] = '\0';
	assert_false(peer(longest, &p));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_nothing_said),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_more),
		cmocka_unit_test(test_peer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
