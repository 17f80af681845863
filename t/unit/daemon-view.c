/* daemon-view.c: rows of an answer sorted and cut off; a thread that makes answers */
#include "config.h"

#include "daemon/scribe.h"
#include "daemon/view.h"
#include "proxy/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

static int
parse(struct view *v, const char *text, const char **why)
{
	json_t *request = json_loads(text, 0, NULL);
	int r;

	assert_non_null(request);
	r = view_parse(v, request, why);
	json_decref(request);
	return r;
}

/* The names of the rows in their order, one letter each. */
static void
assert_sorted(const char *view, const char *wanted)
{
	json_t *answer = json_loads(
	    "{\"rows\":[{\"id\":3,\"address\":\"10.0.0.10:5\",\"idle_s\":0,\"bytes_to_node\":1,"
	    "\"bytes_to_client\":1,\"node\":\"b\",\"sessions\":[1,2]},"
	    "{\"id\":1,\"address\":\"10.0.0.9:5\",\"idle_s\":0,\"bytes_to_node\":2,"
	    "\"bytes_to_client\":1,\"node\":\"a\",\"sessions\":[]},"
	    "{\"id\":2,\"address\":\"10.0.0.10:4\",\"idle_s\":9,\"bytes_to_node\":0,"
	    "\"bytes_to_client\":7,\"node\":null,\"sessions\":[1]},"
	    "{\"id\":4,\"address\":null,\"idle_s\":1,\"node\":\"b\",\"sessions\":[3]}]}", 0, NULL);
	const char *why = "";
	char got[8] = "";
	struct view v;

	assert_non_null(answer);
	if (parse(&v, view, &why) == -1)
		fail_msg("%s", why);
	view_apply(&v, answer, "rows");
	assert_int_equal(json_integer_value(json_object_get(answer, "matched")), 4);
	for (size_t i = 0; i < json_array_size(json_object_get(answer, "rows")); i++)
		got[i] = (char)('0' + json_integer_value(json_object_get(
		    json_array_get(json_object_get(answer, "rows"), i), "id")));
	assert_string_equal(got, wanted);
	json_decref(answer);
}

static void
test_sort(void **state)
{
	(void)state;
	assert_sorted("{}", "3124");
	assert_sorted("{\"limit\":2}", "31");
	assert_sorted("{\"limit\":\"9\"}", "3124");
	assert_sorted("{\"sort\":\"address\"}", "1234");
	assert_sorted("{\"sort\":\"id\"}", "4321");
	assert_sorted("{\"sort\":\"bytes\",\"limit\":3}", "213");
	assert_sorted("{\"sort\":\"active\"}", "1342");
	assert_sorted("{\"sort\":\"node\"}", "1342");
	assert_sorted("{\"sort\":\"sessions\"}", "3241");
	assert_sorted("{\"sort\":\"stage\"}", "3124");
}

static void
test_wrong(void **state)
{
	static const char *const wrong[] = { "{\"sort\":\"\"}", "{\"sort\":1}",
		"{\"sort\":\"nothing\"}", "{\"limit\":0}", "{\"limit\":-1}", "{\"limit\":\"\"}",
		"{\"limit\":\"1x\"}", "{\"limit\":\"-1\"}", "{\"limit\":[]}", "{\"client\":\"x\"}",
		"{\"live\":true,\"lingering\":true}" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *why = NULL;
		struct view v;

		assert_int_equal(parse(&v, wrong[i], &why), -1);
		assert_non_null(why);
	}
}

struct piece {
	struct scribe_job job;
	unsigned *order, at;	/* how many were worked at before it */
	bool dropped, done;
};

static void
piece_work(struct scribe_job *j)
{
	struct piece *p = (struct piece *)j;

	p->at = (*p->order)++;
}

static void
piece_done(struct scribe_job *j, bool dropped)
{
	struct piece *p = (struct piece *)j;

	assert_false(p->done);
	p->done = true;
	p->dropped = dropped;
}

#define PIECES 100

/* All are done, in their order, and delivered on the loop; none is lost at the end. */
static void
test_scribe(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *mailbox = mailbox_new(base);
	struct scribe *s = scribe_new(mailbox);
	struct piece all[2 * PIECES] = { 0 };
	unsigned order = 0;

	(void)state;
	assert_true(base != NULL && mailbox != NULL && s != NULL);
	for (size_t i = 0; i < 2 * PIECES; i++) {
		all[i].job = (struct scribe_job){ .work = piece_work, .done = piece_done };
		all[i].order = &order;
	}
	assert_false(scribe_ask(s, &all[0].job));
	assert_int_equal(scribe_start(s), 0);
	for (size_t i = 0; i < PIECES; i++)
		assert_true(scribe_ask(s, &all[i].job));
	while (!all[PIECES - 1].done)
		event_base_loop(base, EVLOOP_ONCE);
	for (unsigned i = 0; i < PIECES; i++)
		assert_true(all[i].done && !all[i].dropped && all[i].at == i);
	for (size_t i = PIECES; i < 2 * PIECES; i++)
		assert_true(scribe_ask(s, &all[i].job));
	scribe_free(&s);
	for (unsigned i = PIECES; i < 2 * PIECES; i++)
		assert_true(all[i].done && all[i].dropped);
	assert_null(s);
	mailbox_free(&mailbox);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_scribe),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
