/* policy-diff.c: unit tests of a loaded policy: printing, differences, the table, references */
#include "config.h"

#include "policy/acl.h"
#include "policy/diff.h"
#include "policy/policy.h"
#include "policy/print.h"
#include "policy/setting.h"
#include "t/unit/lib/policy.h"
#include "t/unit/lib/policyfile.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Printing. */

static bool
same(const struct policy *a, const struct policy *b)
{
	if (a->nnodes != b->nnodes || a->addresses->n != b->addresses->n ||
	    a->ninterfaces != b->ninterfaces || a->nlisteners != b->nlisteners ||
	    !same_rules(&a->common, &b->common) || a->unkeyed != b->unkeyed ||
	    a->gmac != b->gmac || a->compression != b->compression ||
	    a->vcnumber != b->vcnumber || a->pin_linger != b->pin_linger ||
	    a->rebalance != b->rebalance || a->npool != b->npool ||
	    (a->npool > 0 && memcmp(a->pool, b->pool, a->npool * sizeof(struct addr)) != 0) ||
	    memcmp(&a->health, &b->health, sizeof(a->health)) != 0 ||
	    memcmp(&a->limits, &b->limits, sizeof(a->limits)) != 0 ||
	    memcmp(&a->tcp, &b->tcp, sizeof(a->tcp)) != 0)
		return false;
	for (size_t i = 0; i < a->nnodes; i++)
		if (strcmp(a->nodes[i].name, b->nodes[i].name) != 0 ||
		    !addr_equal(&a->nodes[i].address.addr, &b->nodes[i].address.addr) ||
		    a->nodes[i].address.port != b->nodes[i].address.port ||
		    a->nodes[i].weight != b->nodes[i].weight ||
		    a->nodes[i].state != b->nodes[i].state ||
		    a->nodes[i].nothers != b->nodes[i].nothers ||
		    memcmp(a->nodes[i].others, b->nodes[i].others, sizeof(a->nodes[i].others)) != 0)
			return false;
	for (size_t i = 0; i < a->addresses->n; i++)
		if (a->addresses->rules[i].deny != b->addresses->rules[i].deny ||
		    !prefix_equal(&a->addresses->rules[i].prefix, &b->addresses->rules[i].prefix))
			return false;
	for (size_t i = 0; i < a->nlisteners; i++)
		if (!same_rules(&a->listeners[i], &b->listeners[i]))
			return false;
	for (size_t i = 0; i < a->ninterfaces; i++) {
		const struct pol_interfaces *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (strcmp(x->listener, y->listener) != 0 || x->mode != y->mode || x->n != y->n)
			return false;
		for (size_t k = 0; k < x->n; k++)
			if (!addr_equal(&x->list[k].addr, &y->list[k].addr) ||
			    x->list[k].speed != y->list[k].speed ||
			    x->list[k].rss != y->list[k].rss ||
			    x->list[k].ifindex != y->list[k].ifindex)
				return false;
	}
	return true;
}

static char *
print(const struct policy *p)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	policy_print(p, f);
	fclose(f);
	return text;
}

static void
never(void *arg, const char *line)
{
	(void)arg;
	fail_msg("a difference: %s", line);
}

static void
round_trip(const char *source)
{
	struct policy *a = load_good(source), *b;
	char *text = print(a), *again;

	b = load_good(text);
	again = print(b);
	assert_true(same(a, b));
	assert_int_equal(policy_diff(a, b, never, NULL), 0);
	assert_string_equal(text, again);
	free(text);
	free(again);
	policy_unref(&a);
	policy_unref(&b);
}

static void
test_round_trip(void **state)
{
	(void)state;
	deny_file("public", "10.1.0.100/24 eth0\nfd00:1::64/64 eth0\n");
	round_trip(full_policy);
	round_trip(SOURCED);
	round_trip(LISTENED);
	round_trip(NODE "source = transparent\n");
	for (size_t i = 0; odd_policies[i] != NULL; i++)
		round_trip(odd_policies[i]);
	round_trip(
	    NODE "addresses { deny-file = { \"public\" } deny = { \"::/0\", \"0.0.0.0/0\" } }\n");
	round_trip("node n1 { address = \"10.2.0.11\" agent = \"[fd00::1]:99\" }\n");
	round_trip(NODE "health { interval = \"1234ms\" slow-start = 0 } pin-linger = \"24h\"\n");
}

/* Differences. */

struct lines {
	char text[4096];
};

static void
collect(void *arg, const char *line)
{
	struct lines *l = arg;

	assert_null(strchr(line, '\n'));
	strncat(l->text, line, sizeof(l->text) - strlen(l->text) - 1);
	strncat(l->text, "\n", sizeof(l->text) - strlen(l->text) - 1);
}

static const struct {
	const char *before, *after, *said;
} diffs[] = {
	{ NODE, NODE, "" },
	{ NODE, "smb1 = refuse pin-linger = \"900s\"\naddresses { }" NODE, "" },
	{ NODE, NODE "node n3 { address = \"127.0.0.13:1445\" }",
	    "node n3 added (127.0.0.13:1445, weight 1)\n" },
	{ NODE "node n2 { address = \"10.0.0.2\" }", NODE, "node n2 removed: it drains\n" },
	{ NODE, "node n1 { address = \"127.0.0.11:1445\" weight = 2 state = drain }",
	    "node n1: weight 1 -> 2\nnode n1: state active -> drain\n" },
	{ NODE, "node n1 { address = \"[fd00::1]:445\" }",
	    "node n1: address 127.0.0.11:1445 -> [fd00::1]:445\n" },
	{ NODE, NODE "addresses { deny = { \"10.1.0.7\" } }",
	    "addresses: deny 10.1.0.7/32 added\n" },
	{ NODE "addresses { deny = { \"10.1.0.7\" } }",
	    NODE "addresses { allow = { \"10.1.0.7\" } }",
	    "addresses: deny 10.1.0.7/32 removed\naddresses: allow 10.1.0.7/32 added\n" },
	{ NODE "addresses { deny = { \"10.0.0.1\", \"10.0.0.2\" } }",
	    NODE "addresses { deny = { \"10.0.0.2\", \"10.0.0.1\" } }", "" },
	{ NODE "pin-linger = \"15m\"", NODE "pin-linger = \"1h\"", "pin-linger: 15m -> 1h\n" },
	{ NODE, NODE "source = transparent rebalance = true",
	    "source: own -> transparent\nrebalance: false -> true\n" },
	{ NODE "source-pool = { \"10.0.0.1\", \"10.0.0.2\" }",
	    NODE "source-pool = { \"10.0.0.2\", \"fd00::3\" }",
	    "source-pool: 10.0.0.1 removed\nsource-pool: fd00::3 added\n" },
	{ NODE "node n2 { address = \"10.0.0.2\" other-addresses = { \"10.0.0.3\" } }",
	    NODE "node n2 { address = \"10.0.0.2\" other-addresses = { \"fd00::3\" } }",
	    "node n2: other address 10.0.0.3 removed\nnode n2: other address fd00::3 added\n" },
	{ NODE, NODE "smb1 = allow gmac = resign unkeyed = refuse",
	    "smb1: refuse -> allow\nunkeyed: pass -> refuse\ngmac: pass -> resign\n" },
	{ NODE, NODE "health { rise = 1 } limits { accept-rate = 0 } tcp { client-timeout = 0 }",
	    "health rise: 2 -> 1\nlimits accept-rate: 1000 -> 0\ntcp client-timeout: 15m -> 0\n" },
	{ NODE, NODE "listener lan { }", "" },
	{ NODE "listener lan { smb1 = allow }", NODE, "listener lan: smb1 allow -> refuse\n" },
	{ NODE "listener lan { source = own }",
	    NODE "source = transparent listener lan { source = own ntlm = refuse } listener x { }",
	    "listener lan: ntlm allow -> refuse\nlistener x: source own -> transparent\n"
	    "source: own -> transparent\n" },
	{ NODE, NODE "interfaces lan { mode = filter }", "interfaces lan added (filter)\n" },
	{ NODE "interfaces lan { mode = filter }", NODE, "interfaces lan removed\n" },
	{ NODE "interfaces lan { mode = filter }", NODE "interfaces lan { mode = pass }",
	    "interfaces lan: mode filter -> pass\n" },
	{ NODE "interfaces lan { address \"10.0.0.1\" { } address \"10.0.0.2\" { } }",
	    NODE "interfaces lan { address \"10.0.0.1\" { speed = 2.5G rss = true ifindex = 9 }"
	    " address \"10.0.0.3\" { speed = 25G rss = on } }",
	    "interfaces lan: address 10.0.0.2 removed\n"
	    "interfaces lan: address 10.0.0.1: speed 1G -> 2500M\n"
	    "interfaces lan: address 10.0.0.1: rss false -> true\n"
	    "interfaces lan: address 10.0.0.1: ifindex 1 -> 9\n"
	    "interfaces lan: address 10.0.0.3 added (25G, rss, ifindex 1)\n" },
	{ NODE "interfaces lan { address \"10.0.0.1\" { ifindex = 1 } "
	    "address fd00::1 { ifindex = 2 } }",
	    NODE "interfaces lan { address fd00::1 { ifindex = 2 } "
	    "address \"10.0.0.1\" { ifindex = 1 } }",
	    "interfaces lan: the order of addresses changed\n" },
};

static void
test_diff(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(diffs); i++) {
		struct policy *a = load_good(diffs[i].before), *b = load_good(diffs[i].after);
		struct lines l = { .text = "" };
		unsigned n = policy_diff(a, b, collect, &l), newlines = 0;

		assert_string_equal(l.text, diffs[i].said);
		for (const char *s = l.text; *s != '\0'; s++)
			newlines += *s == '\n';
		assert_int_equal(n, newlines);
		/* One way there is a difference exactly when there is one back. */
		assert_int_equal(policy_diff(b, a, collect, &l) == 0, n == 0);
		policy_unref(&a);
		policy_unref(&b);
	}
}

/* The table. */

/* Every value of note of a setting, as the file would have it: how many, and the i-th. */
static unsigned
table_values(const struct setting *s)
{
	unsigned n = 0;

	if (s->words[0] == NULL)
		return 2;
	while (s->words[n] != NULL)
		n++;
	return n;
}

static uint64_t
table_value(const struct setting *s, unsigned i, char text[64])
{
	char number[SETTING_STRLEN];
	uint64_t v = s->kind == SETTING_BOOL ? i : i == 0 ? s->min : s->max;

	if (s->words[0] != NULL)
		assert_int_equal(setting_parse(s, &v, s->words[i]), 0);
	snprintf(text, 64, "%s", setting_str(s, v, number));
	return v;
}

/* Loaded, printed and compared, it is the same value, and nothing else is another one. */
static void
check_setting(const struct setting *s, const char *text, uint64_t v)
{
	bool root = strcmp(s->section, "root") == 0;
	struct policy *d = policy_new(), *p, *again;
	struct lines l = { .text = "" };
	char file[512], line[128], *printed;

	snprintf(file, sizeof(file), NODE "%s%s %s = \"%s\" %s source-pool = \"10.0.0.1\"\n",
	    root ? "" : s->section, root ? "" : " {", s->name, text, root ? "" : "}");
	p = load_good(file);
	assert_true(setting_get(s, p) == v);
	printed = print(p);
	snprintf(line, sizeof(line), setting_is_quoted(s) ? "%s = \"%s\"\n" : "%s = %s\n", s->name,
	    text);
	assert_non_null(strstr(printed, line));
	again = load_good(printed);
	assert_true(setting_get(s, again) == v);
	assert_int_equal(policy_diff(p, again, never, NULL), 0);
	policy_diff(d, p, collect, &l);
	snprintf(line, sizeof(line), "%s%s%s: ", root ? "" : s->section, root ? "" : " ", s->name);
	assert_int_equal(strstr(l.text, line) != NULL, v != setting_get(s, d));
	for (const struct setting *o = policy_settings; o->section != NULL; o++)
		for (size_t i = 0; o != s && o->size > 0 && policy_sections[i] != NULL; i++)
			if (strcmp(policy_sections[i], o->section) == 0)
				assert_true(setting_get(o, p) == setting_get(o, d));
	free(printed);
	policy_unref(&d);
	policy_unref(&p);
	policy_unref(&again);
}

static void
test_table(void **state)
{
	struct policy *p =
	    load_good(NODE "vcnumber = pass vc-reset = identity source = transparent");
	char text[64];

	(void)state;
	/* Words are in the order of their enums; those of the other ones are in full_policy. */
	assert_int_equal(p->vcnumber, POL_VCNUMBER_PASS);
	assert_int_equal(p->common.vc_reset, POL_VC_RESET_IDENTITY);
	policy_unref(&p);
	for (const struct setting *s = policy_settings; s->section != NULL; s++) {
		if (s->dflt != NULL)
			assert_false(setting_complaint(s, s->dflt, text, sizeof(text)));
		/* Any text may be a path. */
		if (!s->list && s->kind != SETTING_PATH)
			assert_true(setting_complaint(s, "\n", text, sizeof(text)));
	}
	for (const char *const *section = policy_sections; *section != NULL; section++)
		for (const struct setting *s = policy_settings;
		     (s = setting_next(s, *section)) != NULL; s++)
			for (unsigned i = 0; i < table_values(s); i++) {
				uint64_t v = table_value(s, i, text);

				check_setting(s, text, v);
			}
}

/* References. */

static void *
refer(void *arg)
{
	struct policy *p = arg;

	for (int i = 0; i < 20000; i++) {
		struct policy *q = policy_ref(p);

		policy_unref(&q);
	}
	policy_unref(&p);
	return NULL;
}

static void
test_refs(void **state)
{
	struct policy *p = load_good(full_policy);
	pthread_t t[4];

	(void)state;
	assert_int_equal(p->generation, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, refer, policy_ref(p)), 0);
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(p->refs, 1);
	policy_unref(&p);
	assert_null(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_refs),
	};
	int failed;

	policyfile_begin();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	policyfile_end();
	return failed;
}
