/* keydrules.c: the rules of smbgate-keyd at a time that the test sets */
#include "config.h"

#include "t/unit/lib/keydrules.h"

#include "keyd/rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

time_t now_s;

static time_t
test_clock(time_t *t)
{
	(void)t;
	return now_s;
}

void
rules_begin(struct rules *r, const char *services)
{
	char why[KEYD_WHY];

	assert_int_equal(rules_init(r, services, why), 0);
	r->clock = test_clock;
}
