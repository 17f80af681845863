/* proxy-evidence.c: what is to be done about a live connection whose node is in doubt */
#include "config.h"

#include "proxy/evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Everything at once: a machine that is gone, and a node that is hung. */
static struct evidence
dead(void)
{
	return (struct evidence){
		.doubt = true,
		.way_out = true,
		.way_out_for_ms = 60000,
		.gone = true,
		.hung = true,
		.care = LEG_ASKING,
		.news = { .unanswered = 20, .silence_ms = 60000, .unacked = true },
		.owed = true,
		.owed_for_ms = 60000,
		.hang_ms = 30000,
	};
}

/* One that is idle, and has just been asked so often. */
static struct evidence
asked(unsigned unanswered)
{
	struct evidence e = dead();

	e.gone = e.hung = e.owed = e.news.unacked = false;
	e.news.unanswered = unanswered;
	return e;
}

static enum evidence_act
act(struct evidence e)
{
	return evidence_judge(&e).act;
}

static enum leg_care
care(struct evidence e)
{
	struct evidence_verdict v = evidence_judge(&e);

	assert_int_equal(v.act, EVIDENCE_CARE);
	return v.care;
}

static void
no_doubt(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.doubt = false;
	for (e.care = LEG_NEW; e.care <= LEG_AS_POLICY; e.care++)
		assert_int_equal(care(e), LEG_AS_POLICY);
}

static void
no_way_out(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.way_out = false;
	for (e.care = LEG_NEW; e.care <= LEG_PATIENT; e.care++)
		assert_int_equal(care(e), LEG_PATIENT);
}

static void
answered(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.hung = false;
	/*
	 * However old the node's last word, one that was not asked again has not failed to answer.
	 */
	e.news.unanswered = 0;
	assert_int_equal(care(e), LEG_ASKING);
	e.news.unanswered = 2;
	assert_int_equal(care(e), LEG_ASKING);
	/* However often asked, one that has just spoken is there. */
	e.news = (struct leg_news){ .unanswered = 200, .silence_ms = 1999, .unacked = true };
	assert_int_equal(care(e), LEG_ASKING);
}

static void
silent(void **state)
{
	struct evidence e;

	(void)state;
	assert_int_equal(care(asked(3)), LEG_ASKING);
	assert_int_equal(act(asked(4)), EVIDENCE_GONE);
	/* Each of these makes it sooner. */
	e = asked(3);
	e.owed = true;
	assert_int_equal(act(e), EVIDENCE_GONE);
	e = asked(3);
	e.news.unacked = true;
	assert_int_equal(act(e), EVIDENCE_GONE);
	e = asked(3);
	e.gone = true;
	assert_int_equal(act(e), EVIDENCE_GONE);
}

/* All nodes were out of reach, and another one has just come back. */
static void
way_out_new(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.hung = false;
	e.way_out_for_ms = 1999;
	assert_int_equal(care(e), LEG_ASKING);
	e.way_out_for_ms = 2000;
	assert_int_equal(act(e), EVIDENCE_GONE);
}

static void
hung(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.news = (struct leg_news){ .silence_ms = 500 };
	assert_int_equal(act(e), EVIDENCE_HUNG);
	e.owed_for_ms = 29999;
	assert_int_equal(care(e), LEG_ASKING);
	e.owed_for_ms = 60000;
	e.owed = false;
	assert_int_equal(care(e), LEG_ASKING);
	e.owed = true;
	e.hung = false;
	assert_int_equal(care(e), LEG_ASKING);
	e.hung = true;
	e.way_out = false;
	assert_int_equal(care(e), LEG_PATIENT);
}

static void
mended(void **state)
{
	struct evidence e = dead();

	(void)state;
	e.doubt = e.way_out = false;
	for (e.care = LEG_ASKING; e.care <= LEG_PATIENT; e.care++) {
		/* What is repeated is not given a time-out that has passed already. */
		e.news.unanswered = 1;
		e.trusted_for_ms = 129999;
		assert_int_equal(care(e), LEG_ASKING);
		e.news.unanswered = 0;
		assert_int_equal(care(e), LEG_AS_POLICY);
		e.news.unanswered = 1;
		e.trusted_for_ms = 130000;
		assert_int_equal(care(e), LEG_AS_POLICY);
	}
}

/* The server does not read, and its machine says so. */
static void
stalled(void **state)
{
	struct evidence e = { .care = LEG_AS_POLICY, .news = { .stalled = true }, .owed = true };

	(void)state;
	assert_int_equal(care(e), LEG_ASKING);
	e.care = LEG_ASKING;
	e.trusted_for_ms = 1000000;
	assert_int_equal(care(e), LEG_ASKING);
	e.news.stalled = false;
	assert_int_equal(care(e), LEG_AS_POLICY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_doubt),
		cmocka_unit_test(no_way_out),
		cmocka_unit_test(answered),
		cmocka_unit_test(silent),
		cmocka_unit_test(way_out_new),
		cmocka_unit_test(hung),
		cmocka_unit_test(mended),
		cmocka_unit_test(stalled),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
