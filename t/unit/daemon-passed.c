/* daemon-passed.c: which sockets the environment says that the service manager has passed */
#include "config.h"

#include "daemon/passed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SELF 4711

static const char *
name_of_300(void)
{
	static const char name[] =
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789";

	return name;
}

static void
parsed(void **state)
{
	const struct {
		struct passed_words w;
		int n;			/* -1: an error */
		const char *last;	/* the name of the last one */
	} rows[] = {
		{ { NULL, NULL, NULL }, 0, NULL },
		{ { "4711", NULL, NULL }, 0, NULL },
		{ { NULL, "1", "lan" }, 0, NULL },
		{ { "4711", "0", "" }, 0, NULL },
		{ { "4711", "1", "lan" }, 1, "lan" },
		{ { "4711", "2", "lan:vpn" }, 2, "vpn" },
		{ { "4711", "3", "lan:lan:" }, 3, "" },
		{ { "4711", "2", NULL }, 2, "unknown" },
		/* Another process's, whatever they are. */
		{ { "4712", "2", "lan" }, 0, NULL },
		{ { "4712", "x", "lan" }, 0, NULL },
		{ { "4711", "2", "lan" }, -1, NULL },
		{ { "4711", "1", "lan:vpn" }, -1, NULL },
		{ { "4711", "2", "lan:vpn:" }, -1, NULL },
		{ { "4711", "1", name_of_300() }, -1, NULL },
		{ { "4711", "x", "lan" }, -1, NULL },
		{ { "4711", "", "lan" }, -1, NULL },
		{ { "4711", "-1", "lan" }, -1, NULL },
		{ { "4711", "+1", "lan" }, -1, NULL },
		{ { "4711", " 1", "lan" }, -1, NULL },
		{ { "4711", "1 ", "lan" }, -1, NULL },
		{ { "4711", "16385", NULL }, -1, NULL },
		{ { "4711", "99999999999999999999", NULL }, -1, NULL },
		{ { "47x", "1", "lan" }, -1, NULL },
		{ { "", "1", "lan" }, -1, NULL },
		{ { "99999999999999999999", "1", "lan" }, -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char why[PASSED_WHY] = "";
		struct passed p;
		int r = passed_parse(&p, &rows[i].w, SELF, why);

		if (r != (rows[i].n == -1 ? -1 : 0) || p.n != (size_t)(r == -1 ? 0 : rows[i].n))
			fail_msg("row %zu: %d, %zu sockets: %s", i, r, p.n, why);
		assert_int_equal(why[0] != '\0', r == -1);
		if (p.n == 0) {
			assert_null(p.sockets);
			continue;
		}
		assert_string_equal(p.sockets[p.n - 1].name, rows[i].last);
		for (size_t k = 0; k < p.n; k++) {
			assert_int_equal(p.sockets[k].fd, 3 + (int)k);
			assert_false(p.sockets[k].taken);
		}
		free(p.sockets);
	}
}

/* What is said fits the room for it, whatever the environment is. */
static void
long_words(void **state)
{
	char why[PASSED_WHY], *text = malloc(100000);
	struct passed p;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 99999);
	text[99999] = '\0';
	assert_int_equal(
	    passed_parse(&p, &(struct passed_words){ "4711", text, text }, SELF, why), -1);
	assert_int_equal(
	    passed_parse(&p, &(struct passed_words){ text, "1", text }, SELF, why), -1);
	assert_int_equal(
	    passed_parse(&p, &(struct passed_words){ "4711", "1", text }, SELF, why), -1);
	assert_true(strlen(why) < PASSED_WHY);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsed),
		cmocka_unit_test(long_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("daemon-passed", tests, NULL, NULL);
}
