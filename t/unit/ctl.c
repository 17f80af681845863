/* ctl.c: smbgatectl without a smbgate: words that were meant, counters, rules of nftables */
#include "config.h"

#include "base/wr.h"
#include "ctl/negotiate.h"
#include "ctl/show.h"
#include "ctl/tproxy.h"
#include "policy/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void
test_nearest(void **state)
{
	static const char *const words[] = { "nodes", NULL, "policy", "state", "stats", "nodes" };
	static const struct {
		const char *typed, *found;
	} rows[] = {
		{ "node", "\"nodes\"" },
		{ "ndoes", "\"nodes\"" },
		{ "policies", "\"policy\"" },
		{ "stat", "\"state\" or \"stats\"" },
		{ "statt", "\"state\" or \"stats\"" },
		{ "stattes", "\"state\" or \"stats\"" },
		{ "x", NULL },
		{ "", NULL },
		{ "secrets", NULL },
		{ "a word that is longer than any command can be, by far", NULL },
	};
	char text[64], small[8];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(nearest(text, sizeof(text), rows[i].typed, words, 6),
		    rows[i].found != NULL);
		assert_string_equal(text, rows[i].found != NULL ? rows[i].found
		        : "\"nodes\", \"policy\", \"state\" or \"stats\"");
	}
	assert_false(nearest(small, sizeof(small), "x", words, 6));
	assert_string_equal(small, "\"nodes\"");
}

/* For the caller to free. */
static char *
shown(const char *json, bool all)
{
	json_t *o = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(o);
	assert_non_null(f);
	show_stats(o, all, f);
	fclose(f);
	json_decref(o);
	return text;
}

static void
test_stats(void **state)
{
	const char *plain = "{\"stats\":{\"accepted\":3,\"held\":0,\"closed\":{\"no_node\":1}}}";
	const char *described = "{\"stats\":{\"accepted\":3,\"held\":0,\"closed\":{\"no_node\":1}},"
				"\"descriptions\":{\"accepted\":\"taken\",\"held\":\"kept\","
				"\"closed\":{\"no_node\":\"none\"}}}";
	char *text;

	(void)state;
	text = shown(plain, false);
	assert_string_equal(text, "accepted             3\n"
				  "closed connections, by reason:\n"
				  "  no_node             1\n");
	free(text);
	text = shown(described, true);
	assert_string_equal(text, "accepted             3  taken\n"
				  "held                 0  kept\n"
				  "closed connections, by reason:\n"
				  "  no_node             1  none\n");
	free(text);
}

/* Rules with tproxy, by what they match: which connections they hand over. */

#define DADDR(op, value)                                                            \
	"{\"match\":{\"op\":\"" op "\",\"left\":{\"payload\":{\"protocol\":\"ip\"," \
	"\"field\":\"daddr\"}},\"right\":" value "}},"
#define DADDR6(value)                                                            \
	"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip6\"," \
	"\"field\":\"daddr\"}},\"right\":" value "}},"
#define DPORT(value)                                                             \
	"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"tcp\"," \
	"\"field\":\"dport\"}},\"right\":" value "}},"
#define IIF(value) \
	"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"iifname\"}},\"right\":" value "}},"
#define TPROXY "{\"tproxy\":{\"family\":\"ip\",\"addr\":\"127.0.0.1\"}},"
#define MARK(value) "{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":" value "}}"

static const struct {
	const char *expr;
	const char *dialled, *listener;
	bool gives;
	const char *dev;
	long long mark;
} handovers[] = {
	{ TPROXY MARK("91"), "10.0.0.1", "127.0.0.1:445", true, "", 91 },
	{ TPROXY MARK("91"), "10.0.0.1", "127.0.0.2:445", false, "", 91 },
	{ TPROXY MARK("91"), "10.0.0.1", "0.0.0.0:445", true, "", 91 },
	{ TPROXY MARK("91"), "fd00::1", "[::1]:445", false, "", 91 },
	{ IIF("\"wg0\"") TPROXY MARK("91"), "10.0.0.1", "127.0.0.1:445", true, "wg0", 91 },
	{ IIF("\"wg*\"") TPROXY MARK("91"), "10.0.0.1", "127.0.0.1:445", true, "", 91 },
	{ IIF("{\"set\":[\"wg0\",\"wg1\"]}") TPROXY MARK("91"), "10.0.0.1", "127.0.0.1:445", true,
	    "", 91 },
	{ TPROXY MARK("{\"|\":[{\"meta\":{\"key\":\"mark\"}},91]}"), "10.0.0.1", "127.0.0.1:445",
	    true, "", -1 },
	{ DADDR("==", "\"10.0.0.1\"") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "\"10.0.0.1\"") TPROXY MARK("7"), "10.0.0.2", "127.0.0.1:445", false, "", 7 },
	{ DADDR("!=", "\"10.0.0.1\"") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:445", false, "", 7 },
	{ DADDR("!=", "\"10.0.0.1\"") TPROXY MARK("7"), "10.0.0.2", "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "{\"set\":[\"10.0.0.1\",\"10.0.0.3\"]}") TPROXY MARK("7"), "10.0.0.3",
	    "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "{\"set\":[{\"prefix\":{\"addr\":\"10.0.0.0\",\"len\":24}}]}")
	        TPROXY MARK("7"),
	    "10.0.0.77", "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "{\"prefix\":{\"addr\":\"10.0.0.0\",\"len\":24}}") TPROXY MARK("7"),
	    "10.0.1.1", "127.0.0.1:445", false, "", 7 },
	{ DADDR("==", "{\"range\":[\"10.0.0.5\",\"10.0.0.9\"]}") TPROXY MARK("7"), "10.0.0.9",
	    "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "{\"range\":[\"10.0.0.5\",\"10.0.0.9\"]}") TPROXY MARK("7"), "10.0.0.10",
	    "127.0.0.1:445", false, "", 7 },
	{ DADDR("==", "\"@nodes\"") TPROXY MARK("7"), "10.9.0.1", "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "\"@nodes\"") TPROXY MARK("7"), "10.9.0.2", "127.0.0.1:445", true, "", 7 },
	{ DADDR("==", "\"@nodes\"") TPROXY MARK("7"), "10.9.0.3", "127.0.0.1:445", false, "", 7 },
	{ DADDR("==", "\"@none\"") TPROXY MARK("7"), "10.9.0.1", "127.0.0.1:445", false, "", 7 },
	{ DADDR6("\"fd00::1\"") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:445", false, "", 7 },
	{ DPORT("445") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:445", true, "", 7 },
	{ DPORT("445") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:139", false, "", 7 },
	{ DPORT("{\"set\":[139,445]}") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:139", true, "", 7 },
	{ DPORT("{\"range\":[100,200]}") TPROXY MARK("7"), "10.0.0.1", "127.0.0.1:139", true, "",
	    7 },
	/* Another port than the one that is dialled. */
	{ DPORT("445") "{\"tproxy\":{\"port\":1445}}," MARK("7"), "10.0.0.1", "127.0.0.1:1445",
	    true, "", 7 },
	{ DPORT("445") "{\"tproxy\":{\"port\":1445}}," MARK("7"), "10.0.0.1", "127.0.0.1:445",
	    false, "", 7 },
};

/* For the caller to release. */
static json_t *
ruleset(const char *expr)
{
	json_error_t why;
	json_t *o = json_pack_ex(&why, 0, "{s:[{s:{s:s}}, {s:{s:s, s:[s, {s:{s:s}}]}}, {s:{s:o}}]}",
	    "nftables", "table", "name", "smbgate", "set", "name", "nodes", "elem", "10.9.0.1",
	    "elem", "val", "10.9.0.2", "rule", "expr", json_loads(expr, 0, &why));

	if (o == NULL)
		fail_msg("%s: %s", expr, why.text);
	return o;
}

static void
test_tproxy(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(handovers) / sizeof(handovers[0]); i++) {
		char expr[1024];
		struct addrport listener;
		struct tproxy_rule r;
		struct addr dialled;
		size_t at = 0;
		json_t *o;

		snprintf(expr, sizeof(expr), "[%s]", handovers[i].expr);
		o = ruleset(expr);
		assert_int_equal(addr_parse(&dialled, handovers[i].dialled), 0);
		assert_int_equal(addrport_parse(&listener, handovers[i].listener, 0), 0);
		assert_true(tproxy_next(o, &at, &r));
		if (tproxy_gives(o, &r, &dialled, &listener) != handovers[i].gives)
			fail_msg("%s: %s to %s", expr, handovers[i].dialled, handovers[i].listener);
		assert_string_equal(r.dev, handovers[i].dev);
		assert_true(r.mark == handovers[i].mark);
		assert_false(tproxy_next(o, &at, &r));
		json_decref(o);
	}
}

#define SOCKET(key) \
	"{\"match\":{\"op\":\"==\",\"left\":{\"socket\":{\"key\":\"" key "\"}},\"right\":1}},"
#define L4PROTO(value) \
	"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},\"right\":" value "}},"

static void
test_tproxy_keeps(void **state)
{
	static const struct {
		const char *expr;
		bool tcp, icmp;
	} rows[] = {
		{ "[" SOCKET("transparent") MARK("91") "]", true, true },
		{ "[" SOCKET("transparent") MARK("92") "]", false, false },
		{ "[" SOCKET("wildcard") MARK("91") "]", false, false },
		{ "[" L4PROTO("\"tcp\"") SOCKET("transparent") MARK("91") "]", true, false },
		{ "[" L4PROTO("{\"set\":[\"tcp\",\"icmp\"]}") SOCKET("transparent") MARK("91") "]",
		    true, true },
		{ "[" MARK("91") "]", false, false },
		{ "[]", false, false },
		{ "[null, 3, {}, {\"match\":[]}, {\"mangle\":7}]", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = ruleset(rows[i].expr);
		struct tproxy_rule r;
		size_t at = 0;

		assert_int_equal(tproxy_keeps(o, "tcp", 91), rows[i].tcp);
		assert_int_equal(tproxy_keeps(o, "icmp", 91), rows[i].icmp);
		assert_false(tproxy_next(o, &at, &r));
		json_decref(o);
	}
}

/* What a server answers to an offer: header, body, and the contexts of 3.1.1. */
static size_t
answer_put(uint8_t b[512], uint16_t dialect, uint16_t cipher, uint16_t signing)
{
	struct wr w = wr_init(b, 512);

	wr_bytes(&w, "\xfeSMB", 4);
	wr_u16(&w, 64);
	wr_zero(&w, 58);
	wr_u16(&w, 65);
	wr_u16(&w, 3);
	wr_u16(&w, dialect);
	wr_u16(&w, dialect == 0x0311 ? 3 : 0);
	wr_zero(&w, 16);
	wr_u32(&w, 8);
	wr_zero(&w, 12);
	wr_u64(&w, 133000000000000000);
	wr_zero(&w, 8);
	wr_u16(&w, 128);
	wr_u16(&w, 0);
	wr_u32(&w, 128);
	if (dialect != 0x0311)
		return wr_len(&w);
	/* A context of 5 bytes, which is not known, and the two that are. */
	wr_u16(&w, 99);
	wr_u16(&w, 5);
	wr_zero(&w, 4 + 5 + 3);
	wr_u16(&w, 2);
	wr_u16(&w, 4);
	wr_u32(&w, 0);
	wr_u16(&w, 1);
	wr_u16(&w, cipher);
	wr_zero(&w, 4);
	wr_u16(&w, 8);
	wr_u16(&w, 4);
	wr_u32(&w, 0);
	wr_u16(&w, 1);
	wr_u16(&w, signing);
	return wr_len(&w);
}

static void
test_negotiate(void **state)
{
	static const struct negotiate_offer modern = { 0x0311, 4, 2 }, old = { 0x0202, 0, 0 };
	static const uint8_t noise[48] = { 1, 2, 3 };
	uint8_t b[512], out[NEGOTIATE_MAX];
	struct negotiate_answer a;
	size_t n;

	(void)state;
	n = negotiate_put(out, &modern, noise);
	/* Transport, header, 36 bytes and a dialect; 3 contexts, each at a multiple of 8. */
	assert_int_equal(n, 4 + 64 + 40 + 48 + 16 + 12);
	assert_int_equal(out[2] << 8 | out[3], n - 4);
	assert_int_equal(out[4 + 64 + 36] | out[4 + 64 + 37] << 8, 0x0311);
	assert_int_equal(out[4 + 64 + 40 + 48 + 10], 4);
	assert_int_equal(negotiate_put(out, &old, noise), 4 + 64 + 38);
	n = answer_put(b, 0x0302, 0, 0);
	assert_int_equal(negotiate_get(&a, b, n), 0);
	assert_true(a.dialect == 0x0302 && a.capabilities == 8 && a.security_mode == 3);
	assert_true(a.system_time == 133000000000000000 && a.cipher == 0 && a.signing == 0xffff);
	n = answer_put(b, 0x0311, 2, 1);
	assert_int_equal(negotiate_get(&a, b, n), 0);
	assert_true(a.dialect == 0x0311 && a.cipher == 2 && a.signing == 1);
	/* Refused: nothing more is looked at. */
	b[8] = 0xbb;
	assert_int_equal(negotiate_get(&a, b, 64), 0);
	assert_true(a.status == 0xbb && a.dialect == 0);
}

/* Cut anywhere it is an error, and whatever is changed, no byte beyond is looked at. */
static void
test_negotiate_hostile(void **state)
{
	uint8_t b[512];
	struct negotiate_answer a;
	size_t n = answer_put(b, 0x0311, 2, 1);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t *cut = malloc(i == 0 ? 1 : i), *other = malloc(n);

		memcpy(cut, b, i);
		assert_int_equal(negotiate_get(&a, cut, i), -1);
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(other, b, n);
			other[i] ^= (uint8_t)(1u << bit);
			(void)!negotiate_get(&a, other, n);
		}
		free(cut);
		free(other);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_negotiate),
		cmocka_unit_test(test_negotiate_hostile),
		cmocka_unit_test(test_tproxy),
		cmocka_unit_test(test_tproxy_keeps),
		cmocka_unit_test(test_stats),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
