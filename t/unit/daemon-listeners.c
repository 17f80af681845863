/* daemon-listeners.c: which listener of smbgate takes connections to a node's address */
#include "config.h"

#include "base/ownaddr.h"
#include "policy/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct addrport
at(const char *text)
{
	struct addrport a;

	assert_int_equal(addrport_parse(&a, text, 445), 0);
	return a;
}

static void
found(void **state)
{
	static const struct {
		const char *listen, *node;
		int at;
	} rows[] = {
		{ "10.1.0.5:445", "10.1.0.5:445", 0 },
		{ "10.1.0.5:445", "10.1.0.5:446", -1 },
		{ "10.1.0.5:445", "10.1.0.6:445", -1 },
		/* Not there now, but whoever has it there is smbgate. */
		{ "10.9.9.9:445", "10.9.9.9:445", 0 },
		{ "0.0.0.0:445", "10.1.0.5:445", 0 },
		{ "0.0.0.0:445", "10.1.0.9:445", -1 },
		{ "0.0.0.0:445", "127.0.0.11:445", 0 },
		{ "0.0.0.0:445", "127.0.0.11:446", -1 },
		{ "0.0.0.0:445", "[fd00:1::5]:445", -1 },
		{ "[::]:445", "10.1.0.5:445", 0 },
		{ "[::]:445", "[fd00:1::5]:445", 0 },
		{ "[::]:445", "[fd00:1::6]:445", -1 },
		{ "[::]:445", "[::1]:445", 0 },
	};
	static struct ownaddr own;

	(void)state;
	own.list[own.n++] = at("10.1.0.5").addr;
	own.list[own.n++] = at("fd00:1::5").addr;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf c = { .nlisten = 2 };
		const struct addrport a = at(rows[i].node);

		c.listen[0].address = at(rows[i].listen);
		c.listen[1].address = at("192.0.2.1:1");
		if (conf_listener_at(&c, &a, &own) != rows[i].at)
			fail_msg("row %zu", i);
		c.listen[1].address = at("192.0.2.1:445");
		c.listen[0] = c.listen[1];
		assert_int_equal(conf_listener_at(&c, &a, &own), -1);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
