/* ctl.c: smbgatectl without a smbgate: the words that were meant, and counters as text */
#include "config.h"

#include "ctl/nearest.h"
#include "ctl/show.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_stats),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
