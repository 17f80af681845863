/* state-reply.c: what Redis says: answers, also such as no Redis gives, and errors; the scripts */
#include "config.h"

#include "state/fault.h"
#include "state/queries.h"
#include "state/reply.h"
#include "state/script.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

/* 1: whole answers came; 0: not yet; -1: refused. */
static int
parse(const char *text, size_t len)
{
	struct reply_parser *p = reply_parser_new();
	redisReply *r;
	int how, any = 0;

	assert_non_null(p);
	assert_int_equal(reply_feed(p, text, len), 0);
	while ((how = reply_next(p, &r)) == 1) {
		any = 1;
		freeReplyObject(r);
	}
	reply_parser_free(&p);
	assert_null(p);
	return how == -1 ? -1 : any;
}

#define PARSE(s) parse(s, sizeof(s) - 1)

static void
test_claims(void **state)
{
	(void)state;
	assert_int_equal(PARSE("+OK\r\n"), 1);
	assert_int_equal(PARSE("*2\r\n$1\r\na\r\n:1\r\n"), 1);
	assert_int_equal(PARSE("*-1\r\n"), 1);
	assert_int_equal(PARSE("*4096\r\n"), 0);
	/* What is claimed is not allocated. */
	assert_int_equal(PARSE("*4097\r\n"), -1);
	assert_int_equal(PARSE("*1000000000\r\n"), -1);
	assert_int_equal(PARSE("*2147483647\r\n"), -1);
	assert_int_equal(PARSE("*99999999999999999999\r\n"), -1);
	assert_int_equal(PARSE("*-2147483648\r\n"), -1);
	/* Neither by many arrays in one another. */
	assert_int_equal(PARSE("*2048\r\n*2048\r\n"), 0);
	assert_int_equal(PARSE("*2048\r\n*2048\r\n*1\r\n"), -1);
	assert_int_equal(PARSE("*2\r\n*2048\r\n*2048\r\n"), -1);
	/* The count begins anew with each answer. */
	assert_int_equal(PARSE("*1\r\n:1\r\n*4096\r\n"), 1);
	/* Deeper than anybody needs. */
	assert_int_equal(PARSE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"), -1);
	/* A string that is not there yet costs nothing; one that cannot be is refused. */
	assert_int_equal(PARSE("$1000000000\r\nabc"), 0);
	assert_int_equal(PARSE("$99999999999999999999\r\n"), -1);
	assert_int_equal(PARSE("garbage\r\n"), -1);
	assert_int_equal(PARSE("HTTP/1.1 200 OK\r\n\r\n"), -1);
	assert_int_equal(PARSE("\0\0\0\0"), -1);
}

static void
test_bytes_bound(void **state)
{
	struct reply_parser *p = reply_parser_new();
	static char block[65536];
	redisReply *r;
	size_t fed = 0;
	int how = 0;

	(void)state;
	assert_int_equal(reply_feed(p, "$900000000\r\n", 12), 0);
	memset(block, 'x', sizeof(block));
	while (fed < 4 * REPLY_BYTES_MAX && (how = reply_next(p, &r)) == 0) {
		assert_int_equal(reply_feed(p, block, sizeof(block)), 0);
		fed += sizeof(block);
	}
	assert_int_equal(how, -1);
	assert_in_range(fed, REPLY_BYTES_MAX, REPLY_BYTES_MAX + 2 * sizeof(block));
	reply_parser_free(&p);
}

/* A whole answer, cut at every byte, is the same. */
static void
test_split(void **state)
{
	static const char text[] = "*4\r\n:7\r\n$3\r\na\0b\r\n*1\r\n+x\r\n$-1\r\n";
	size_t len;

	(void)state;
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct reply_parser *p = reply_parser_new();
		redisReply *r;

		assert_int_equal(reply_feed(p, text, cut), 0);
		if (cut < sizeof(text) - 1)
			assert_int_equal(reply_next(p, &r), 0);
		assert_int_equal(reply_feed(p, text + cut, sizeof(text) - 1 - cut), 0);
		assert_int_equal(reply_next(p, &r), 1);
		assert_int_equal(reply_elements(r), 4);
		assert_int_equal(reply_number(r, 0), 7);
		assert_memory_equal(reply_string(r, 1, &len), "a\0b", 4);
		assert_int_equal(len, 3);
		assert_int_equal(reply_elements(reply_array(r, 2)), 1);
		/* Of the wrong type, or not there: nothing, and no crash. */
		assert_null(reply_string(r, 0, &len));
		assert_int_equal(len, 0);
		assert_null(reply_string(r, 3, &len));
		assert_null(reply_string(r, 4, &len));
		assert_null(reply_string(NULL, 0, &len));
		assert_int_equal(reply_number(r, 1), 0);
		assert_null(reply_array(r, 1));
		assert_int_equal(reply_elements(NULL), 0);
		freeReplyObject(r);
		reply_parser_free(&p);
	}
}

static void
test_faults(void **state)
{
	(void)state;
	assert_int_equal(fault_of("READONLY You can't write against a read only replica."),
	    FAULT_READONLY);
	assert_int_equal(fault_of("ERR Error running script: -READONLY You can't"), FAULT_READONLY);
	assert_int_equal(fault_of("LOADING Redis is loading the dataset"), FAULT_LOADING);
	assert_int_equal(fault_of("NOSCRIPT No matching script."), FAULT_NOSCRIPT);
	assert_int_equal(fault_of("WRONGTYPE Operation against a key"), FAULT_WRONGTYPE);
	assert_int_equal(fault_of("ERR unknown command"), FAULT_ERROR);
	assert_int_equal(fault_of(""), FAULT_ERROR);
	assert_int_equal(fault_kind(FAULT_READONLY), FAULT_ENDS);
	assert_int_equal(fault_kind(FAULT_NOSCRIPT), FAULT_PASSES);
	assert_int_equal(fault_kind(FAULT_WRONGTYPE), FAULT_PASSES);
	/* What Redis 7.0 and 7.2 say of a script that may not run a command. */
	assert_int_equal(fault_of("ERR The user executing the script can't run this command"),
	    FAULT_NOPERM);
	assert_int_equal(fault_of("ERR ACL failure in script: User gate has no"), FAULT_NOPERM);
	assert_int_equal(fault_kind(FAULT_NOPERM), FAULT_TROUBLES);
}

/* Once a minute, with what was left out; and sooner where all was well for a while in between. */
static void
test_faults_said(void **state)
{
	struct faults t = { .lock = PTHREAD_MUTEX_INITIALIZER };
	char last[FAULT_WORDS];

	(void)state;
	fault_last(&t, last);
	assert_string_equal(last, "");
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM of\nmemory\xff");
	assert_int_equal(t.said_count[FAULT_OOM], 1);
	fault_last(&t, last);
	assert_string_equal(last, "OOM of?memory?");
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 1);
	/* Another trouble is news. */
	fault_met(&t, FAULT_CLOSED, "10.0.0.1:6379", NULL);
	assert_int_equal(t.said_count[FAULT_CLOSED], 1);
	fault_last(&t, last);
	assert_string_equal(last, "closed");
	t.said_ms[FAULT_OOM] -= 60000;
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 3);
	fault_over(&t);
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 3);
	t.said_ms[FAULT_OOM] -= 6000;
	t.well_ms -= 5000;
	fault_met(&t, FAULT_OOM, "10.0.0.1:6379", "OOM");
	assert_int_equal(t.said_count[FAULT_OOM], 5);
	assert_int_equal(t.count[FAULT_OOM], 5);
}

/* True: there is a fact in that answer. What f points to is gone. */
static bool
fact_in(const char *bytes, size_t len, struct state_fact *f)
{
	struct reply_parser *p = reply_parser_new();
	redisReply *r;
	bool good;

	assert_non_null(p);
	assert_int_equal(reply_feed(p, bytes, len), 0);
	assert_int_equal(reply_next(p, &r), 1);
	good = queries_fact(r, f);
	if (good)
		assert_true(f->len > 0 && strlen(f->node) < STATE_NODE_LEN);
	freeReplyObject(r);
	reply_parser_free(&p);
	return good;
}

/* What Redis may have of a session, or claim to. */
static void
test_fact_answers(void **state)
{
	char longest[3 + STATE_NODE_LEN + STATE_FACT_MAX], text[sizeof(longest) + 32];
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} rows[] = {
		{ "$-1\r\n", 5, false },
		{ ":7\r\n", 4, false },
		{ "$0\r\n\r\n", 6, false },
		{ "$3\r\nn1=\r\n", 9, false },
		{ "$4\r\nn1=\0\r\n", 10, false },
		{ "$5\r\nn1=\0x\r\n", 11, true },
		{ "$2\r\n\0x\r\n", 8, true },
	};
	struct state_fact f;
	int head;

	(void)state;
	assert_false(queries_fact(NULL, &f));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(fact_in(rows[i].bytes, rows[i].len, &f), rows[i].good);
	/* A name, or a fact, that is one byte too long; and neither. */
	for (int name = 0; name < 2; name++)
		for (int fact = 0; fact < 2; fact++) {
			size_t n = STATE_NODE_LEN - 1 + (size_t)name;
			size_t len = n + 1 + STATE_FACT_MAX + (size_t)fact;

			memset(longest, 'x', sizeof(longest));
			longest[n] = '\0';
			head = snprintf(text, 16, "$%zu\r\n", len);
			memcpy(text + head, longest, len);
			memcpy(text + head + len, "\r\n", 2);
			assert_int_equal(fact_in(text, (size_t)head + len + 2, &f),
			    name == 0 && fact == 0);
		}
}

/* Whether they do the right thing is for a real Redis to show; that all of them are there, here. */
static void
test_scripts(void **state)
{
	static const char common[] = "local function time()\n";

	(void)state;
	for (int i = 0; i < SCRIPT_COUNT; i++) {
		const char *text = script_text((enum script)i);

		assert_non_null(text);
		assert_int_equal(strncmp(text, common, sizeof(common) - 1), 0);
		assert_null(strstr(text, "--"));
		assert_null(strstr(text, "HOW_"));
		assert_null(strstr(text, "NAMES_"));
	}
	assert_non_null(strstr(script_text(SCRIPT_TICK), "all(drains)"));
	assert_non_null(strstr(script_text(SCRIPT_SWEEP), "\n\tlocal id, rec = s[2][i]"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_bytes_bound),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_said),
		cmocka_unit_test(test_fact_answers),
		cmocka_unit_test(test_scripts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
