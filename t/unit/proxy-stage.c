/* proxy-stage.c: the table of stages: texts, deadlines, who is read, and the manual page */
#include "config.h"

#include "proxy/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT (CONN_DEAD + 1)

static void
test_texts(void **state)
{
	(void)state;
	for (int i = 0; i < COUNT; i++) {
		const char *text = conn_stage_str((enum conn_stage)i);

		assert_true(text[0] != '\0');
		for (int k = 0; k < i; k++)
			assert_string_not_equal(text, conn_stage_str((enum conn_stage)k));
	}
}

/* A connection only gets on: no stage has a tighter deadline than those before it. */
static void
test_deadlines(void **state)
{
	(void)state;
	for (int i = 1; i < CONN_RELAY; i++)
		assert_true(stages[i].deadline >= stages[i - 1].deadline);
	for (int i = 0; i < CONN_RELAY; i++)
		assert_int_not_equal(stages[i].deadline, STAGE_DEADLINE_NONE);
	for (int i = CONN_RELAY; i < COUNT; i++)
		assert_int_equal(stages[i].deadline, STAGE_DEADLINE_NONE);
}

static void
test_reads(void **state)
{
	(void)state;
	for (int i = 0; i < COUNT; i++) {
		enum conn_stage s = (enum conn_stage)i;

		assert_int_equal(stages[i].client, s != CONN_DELAY && s < CONN_FLUSH);
		assert_int_equal(stages[i].node, stage_relays(s) || s == CONN_REPLAY);
	}
	assert_false(stage_relays(CONN_REPLAY));
	assert_true(stage_relays(CONN_NEGOTIATE));
	assert_true(stage_relays(CONN_HANDOVER));
	assert_true(stage_relays(CONN_LOGON));
	assert_true(stage_relays(CONN_RELAY));
	assert_false(stage_relays(CONN_FLUSH));
}

/* Every stage that smbgatectl can show is in its manual page. */
static void
test_manual(void **state)
{
	const char *srcdir = getenv("srcdir");
	static char page[65536];
	char path[4096];
	FILE *f;
	size_t n;

	(void)state;
	snprintf(path, sizeof(path), "%s/doc/smbgatectl.1.md", srcdir != NULL ? srcdir : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	page[n] = '\0';
	for (int i = 0; i < CONN_DEAD; i++) {
		char row[64];

		snprintf(row, sizeof(row), "\n| `%s` | ", conn_stage_str((enum conn_stage)i));
		if (strstr(page, row) == NULL)
			fail_msg("no stage %s in %s", conn_stage_str((enum conn_stage)i), path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_manual),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
