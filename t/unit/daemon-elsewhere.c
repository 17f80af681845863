/* daemon-elsewhere.c: when a drain is over, by what several proxies say of different moments */
#include "config.h"

#include "auth/keyhash.h"
#include "auth/secret.h"
#include "daemon/elsewhere.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
add(struct elsewhere *e, enum rest_says says, uint32_t connections, uint64_t at_ms)
{
	struct keeper_rest *x = &e->all[e->n++];

	*x = (struct keeper_rest){ .says = says, .at_ms = at_ms,
		.rest.connections = connections };
	x->name[0] = (char)('b' + e->n - 1);
}

/* What is seen at that time, here and at up to two others; -1: there is none. */
static bool
over(struct elsewhere_seen *s, uint64_t now_ms, bool here, int b, uint64_t b_ms, int c,
    uint64_t c_ms)
{
	static struct elsewhere e;

	e.known = true;
	e.n = 0;
	if (b >= 0)
		add(&e, REST_SAID, (uint32_t)b, b_ms);
	if (c >= 0)
		add(&e, REST_SAID, (uint32_t)c, c_ms);
	elsewhere_note(s, here, &e, now_ms);
	return !here && elsewhere_over(s, &e);
}

static void
test_alone(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_false(over(&s, 1000, true, -1, 0, -1, 0));
	assert_true(over(&s, 1500, false, -1, 0, -1, 0));
}

/* Nobody was anywhere: what was said before counts. */
static void
test_empty(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_true(over(&s, 5000, false, 0, 3000, 0, 2000));
}

/* It may have gone from here to B after B has said that. */
static void
test_from_here(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_false(over(&s, 5000, true, 0, 4500, -1, 0));
	assert_false(over(&s, 5500, false, 0, 4500, -1, 0));
	assert_false(over(&s, 6000, false, 0, 5499, -1, 0));
	assert_true(over(&s, 6500, false, 0, 5500, -1, 0));
	/* And back. */
	assert_false(over(&s, 7000, true, 0, 6500, -1, 0));
	assert_false(over(&s, 7500, false, 1, 7000, -1, 0));
	assert_false(over(&s, 8000, false, 0, 7400, -1, 0));
	assert_true(over(&s, 8500, false, 0, 7900, -1, 0));
}

static void
test_there(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_false(over(&s, 5000, false, 2, 4500, -1, 0));
	assert_false(over(&s, 5500, false, 1, 5000, -1, 0));
	/* Nobody is here: what B says is all that there is. */
	assert_true(over(&s, 6500, false, 0, 6000, -1, 0));
}

/* From B to C, after C has said that nobody is there. */
static void
test_between_others(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_false(over(&s, 5000, false, 1, 4000, 0, 4100));
	assert_false(over(&s, 5500, false, 0, 5000, 0, 4100));
	assert_false(over(&s, 6000, false, 0, 5000, 1, 5100));
	assert_false(over(&s, 6500, false, 0, 5900, 0, 6100));
	assert_true(over(&s, 7000, false, 0, 6900, 0, 6100));
}

/* Whoever had somebody has died. */
static void
test_died(void **state)
{
	struct elsewhere_seen s = { .here = false };

	(void)state;
	assert_false(over(&s, 5000, false, 1, 4000, 0, 4100));
	assert_true(over(&s, 9500, false, -1, 0, 0, 9000));
	assert_false(over(&s, 10000, false, 1, 9800, -1, 0));
	assert_true(over(&s, 15000, false, -1, 0, -1, 0));
}

static void
test_words(void **state)
{
	struct elsewhere_seen s = { .here = false };
	struct elsewhere *e = calloc(1, sizeof(*e));

	(void)state;
	assert_non_null(e);
	/* Who they are is not known. */
	assert_false(elsewhere_over(&s, e));
	e->known = true;
	assert_true(elsewhere_over(&s, e));
	/* An older version never says anything, and is not waited for. */
	add(e, REST_NEVER, 0, 0);
	assert_true(elsewhere_over(&s, e));
	elsewhere_note(&s, true, e, 1000);
	elsewhere_note(&s, false, e, 1500);
	assert_true(elsewhere_over(&s, e));
	add(e, REST_NOT_YET, 0, 2000);
	assert_false(elsewhere_over(&s, e));
	/* With the others' word it is over only once that one has spoken. */
	add(e, REST_SAID, 0, 2000);
	assert_false(elsewhere_over(&s, e));
	e->all[1].says = REST_SAID;
	assert_true(elsewhere_over(&s, e));
	free(e);
}

static void
test_json(void **state)
{
	struct elsewhere *e = calloc(1, sizeof(*e));
	json_t *o = json_object(), *want;

	(void)state;
	assert_non_null(e);
	elsewhere_json(o, "x", e);
	assert_true(json_is_null(json_object_get(o, "x")));
	e->known = true;
	elsewhere_json(o, "x", e);
	assert_int_equal(json_array_size(json_object_get(o, "x")), 0);
	add(e, REST_SAID, 3, 1);
	e->all[0].rest.clients = 2;
	e->all[0].rest.cut = 1;
	add(e, REST_NOT_YET, 0, 1);
	add(e, REST_NEVER, 0, 1);
	elsewhere_json(o, "x", e);
	want = json_pack("[{s:s, s:s, s:i, s:i, s:i}, {s:s, s:s, s:n, s:n, s:n}, "
	                 "{s:s, s:s, s:n, s:n, s:n}]",
	    "proxy", "b", "says", "counts", "clients", 2, "connections", 3, "cut_total", 1,
	    "proxy", "c", "says", "not yet", "clients", "connections", "cut_total",
	    "proxy", "d", "says", "never", "clients", "connections", "cut_total");
	assert_true(json_equal(json_object_get(o, "x"), want));
	json_decref(want);
	json_decref(o);
	free(e);
}

/* The same order at each proxy; not another one, nor one about another node. */
static void
test_order(void **state)
{
	struct keyhash *h = keyhash_new(&(struct secret){ .len = 0 });
	uint64_t order;

	(void)state;
	assert_non_null(h);
	order = elsewhere_order(h, "n1=10.0.0.1:445", 1700000000000);
	assert_true(order == elsewhere_order(h, "n1=10.0.0.1:445", 1700000000000));
	assert_true(order != elsewhere_order(h, "n1=10.0.0.1:445", 1700000000001));
	assert_true(order != elsewhere_order(h, "n2=10.0.0.1:445", 1700000000000));
	keyhash_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_from_here),
		cmocka_unit_test(test_there),
		cmocka_unit_test(test_between_others),
		cmocka_unit_test(test_died),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_order),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
