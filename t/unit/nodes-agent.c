/* nodes-agent.c: what a node's agent says, and what becomes of the node by all who have a say */
#include "config.h"

#include "nodes/agentline.h"
#include "nodes/stance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *line;
	int word;		/* -1: it is none */
	unsigned percent;
	const char *why;
} lines[] = {
	{ "up", AGENT_UP, 100, "" },
	{ "ready", AGENT_UP, 100, "" },
	{ "up ready", AGENT_UP, 100, "" },
	{ "UP Ready", AGENT_UP, 100, "" },
	{ "drain", AGENT_DRAIN, 100, "" },
	{ "drain #Disabled", AGENT_DRAIN, 100, "Disabled" },
	{ "maint", AGENT_MAINT, 100, "" },
	{ "down", AGENT_DOWN, 100, "" },
	{ "fail", AGENT_DOWN, 100, "" },
	{ "failed#disk", AGENT_DOWN, 100, "disk" },
	{ "stopped", AGENT_STOPPED, 100, "" },
	{ "75%", AGENT_NONE, 75, "" },
	{ "up 75%", AGENT_UP, 75, "" },
	{ "75% , up,\tready", AGENT_UP, 75, "" },
	{ "50%,drain", AGENT_DRAIN, 50, "" },
	{ "200%", AGENT_NONE, 200, "" },
	{ "1000%", AGENT_NONE, 1000, "" },
	{ "0%", AGENT_DRAIN, 0, "" },
	{ "up 0%", AGENT_DRAIN, 0, "" },
	{ "0% down", AGENT_DOWN, 0, "" },
	/* The worst of several counts. */
	{ "up down", AGENT_DOWN, 100, "" },
	{ "down up ready", AGENT_DOWN, 100, "" },
	{ "maint drain", AGENT_MAINT, 100, "" },
	{ "stopped maint", AGENT_STOPPED, 100, "" },
	{ "  up  # all # is well ", AGENT_UP, 100, "all # is well " },
	{ "up #\001\"\\\377", AGENT_UP, 100, "????" },
	{ "", -1, 0, "" },
	{ "   ", -1, 0, "" },
	{ ",,", -1, 0, "" },
	{ "#why", -1, 0, "" },
	{ "upp", -1, 0, "" },
	{ "u", -1, 0, "" },
	{ "up2", -1, 0, "" },
	{ "%", -1, 0, "" },
	{ "-1%", -1, 0, "" },
	{ "1.5%", -1, 0, "" },
	{ "100", -1, 0, "" },
	{ "1001%", -1, 0, "" },
	{ "99999999999999999999%", -1, 0, "" },
	{ "up maxconn:30", -1, 0, "" },
	{ "HTTP/1.0 200 OK", -1, 0, "" },
	{ "\001\002\377", -1, 0, "" },
};

static void
agent_lines(void **state)
{
	struct agent_says s;
	int r;

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		/* Of its own, so that a sanitizer sees what is read behind its end. */
		size_t len = strlen(lines[i].line);
		char *line = malloc(len + 1);

		memcpy(line, lines[i].line, len);
		r = agentline_read(&s, line, len);
		if (r != (lines[i].word == -1 ? -1 : 0) ||
		    (r == 0 && ((int)s.word != lines[i].word || s.percent != lines[i].percent ||
		        strcmp(s.why, lines[i].why) != 0)))
			fail_msg("\"%s\": %d, word %d, %u%%, \"%s\"", lines[i].line, r,
			    (int)s.word, s.percent, s.why);
		free(line);
	}
}

/* A reason has no end, and any bytes. */
static void
agent_noise(void **state)
{
	char line[AGENTLINE_MAX];
	struct agent_says s;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "down#", 5);
	assert_int_equal(agentline_read(&s, line, sizeof(line)), 0);
	assert_int_equal(strlen(s.why), AGENTLINE_WHY - 1);
	srand(1);
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)rand() % sizeof(line);

		for (size_t k = 0; k < len; k++)
			line[k] = (char)(rand() % 4 != 0 ? "updrainm%0159# ,\t"[rand() % 17]
			                                 : rand());
		if (agentline_read(&s, line, len) == 0) {
			assert_true(s.word < AGENT_WORDS && s.percent <= 1000);
			for (const char *c = s.why; *c != '\0'; c++)
				assert_true(*c >= ' ' && *c <= '~');
		}
	}
}

/* Which are set: t, m, b: takes_new, takes_more, takes_blindly; l: lets_go. */
static const struct {
	enum stance_order order;
	enum node_health health;
	enum agent_word agent;
	const char *state, *may;
} stances[] = {
	/* As it was before there were agents. */
	{ STANCE_ACTIVE, NODE_UNKNOWN, AGENT_NONE, "unknown", "tmb" },
	{ STANCE_ACTIVE, NODE_UP, AGENT_NONE, "up", "tmb" },
	{ STANCE_ACTIVE, NODE_DOWN, AGENT_NONE, "down", "" },
	{ STANCE_ACTIVE, NODE_HUNG, AGENT_NONE, "hung", "m" },
	{ STANCE_ACTIVE, NODE_LOOP, AGENT_NONE, "loop", "" },
	{ STANCE_DRAIN, NODE_UP, AGENT_NONE, "drain", "mb" },
	{ STANCE_DRAIN, NODE_DOWN, AGENT_NONE, "down", "" },
	{ STANCE_DRAIN, NODE_UNKNOWN, AGENT_NONE, "drain", "mb" },
	{ STANCE_REMOVED, NODE_UP, AGENT_NONE, "removed", "mb" },
	{ STANCE_REMOVED, NODE_HUNG, AGENT_NONE, "hung", "m" },
	{ STANCE_MAINT, NODE_UP, AGENT_NONE, "maint", "mb" },
	{ STANCE_MAINT, NODE_DOWN, AGENT_NONE, "maint", "" },
	/* An agent takes away, and gives nothing. */
	{ STANCE_ACTIVE, NODE_UP, AGENT_UP, "up", "tmb" },
	{ STANCE_ACTIVE, NODE_DOWN, AGENT_UP, "down", "" },
	{ STANCE_ACTIVE, NODE_HUNG, AGENT_UP, "hung", "m" },
	{ STANCE_DRAIN, NODE_UP, AGENT_UP, "drain", "mb" },
	{ STANCE_MAINT, NODE_UP, AGENT_UP, "maint", "mb" },
	{ STANCE_ACTIVE, NODE_UP, AGENT_DRAIN, "drain", "mb" },
	{ STANCE_ACTIVE, NODE_HUNG, AGENT_DRAIN, "hung", "m" },
	{ STANCE_ACTIVE, NODE_UP, AGENT_MAINT, "maint", "mb" },
	{ STANCE_ACTIVE, NODE_UP, AGENT_STOPPED, "down", "l" },
	{ STANCE_ACTIVE, NODE_UP, AGENT_DOWN, "down", "l" },
	{ STANCE_ACTIVE, NODE_UNKNOWN, AGENT_DOWN, "down", "l" },
	{ STANCE_ACTIVE, NODE_HUNG, AGENT_DOWN, "down", "l" },
	{ STANCE_ACTIVE, NODE_DOWN, AGENT_DOWN, "down", "l" },
	{ STANCE_DRAIN, NODE_UP, AGENT_DOWN, "down", "l" },
	{ STANCE_REMOVED, NODE_UP, AGENT_DOWN, "down", "l" },
	/* The operator has the last word. */
	{ STANCE_MAINT, NODE_UP, AGENT_DRAIN, "maint", "mb" },
	{ STANCE_MAINT, NODE_UP, AGENT_DOWN, "maint", "" },
};

static void
stance_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(stances); i++) {
		struct stance s =
		    stance_of(stances[i].order, stances[i].health, stances[i].agent);
		char may[8];

		snprintf(may, sizeof(may), "%s%s%s%s", s.takes_new ? "t" : "",
		    s.takes_more ? "m" : "", s.takes_blindly ? "b" : "", s.lets_go ? "l" : "");
		if (strcmp(may, stances[i].may) != 0 || strcmp(s.state, stances[i].state) != 0)
			fail_msg("row %zu: %s, \"%s\"", i, s.state, may);
	}
}

/* Whatever they say, nobody gives back what another one has taken. */
static void
stance_all(void **state)
{
	(void)state;
	for (int o = STANCE_ACTIVE; o <= STANCE_REMOVED; o++)
		for (int h = NODE_UNKNOWN; h <= NODE_LOOP; h++)
			for (int a = AGENT_NONE; a < AGENT_WORDS; a++) {
				struct stance s = stance_of((enum stance_order)o,
				    (enum node_health)h, (enum agent_word)a);
				struct stance without = stance_of((enum stance_order)o,
				    (enum node_health)h, AGENT_NONE);

				assert_non_null(s.state);
				assert_true(s.takes_more || !s.takes_new);
				assert_true(s.takes_more || !s.takes_blindly);
				assert_true(without.takes_new || !s.takes_new);
				assert_true(without.takes_more || !s.takes_more);
				assert_false(without.lets_go);
				if (s.lets_go)
					assert_false(s.takes_more);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agent_lines),
		cmocka_unit_test(agent_noise),
		cmocka_unit_test(stance_table),
		cmocka_unit_test(stance_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
