/* daemon-report.c: what the control socket shows: nodes, policy, statistics, clients, sessions */
#include "config.h"

#include "base/clock.h"
#include "daemon/json.h"
#include "daemon/report.h"
#include "inspect/query_seen.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "proxy/conn.h"
#include "smb/const.h"
#include "state/state.h"
#include "t/unit/lib/ctlsocket.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void
test_nodes(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"show\",\"what\":\"nodes\"}\n");

	assert_text(o, "nodes.0.name", "n1");
	assert_text(o, "nodes.0.address", "127.0.0.11:445");
	/* No probe has told yet. */
	assert_text(o, "nodes.0.state", "unknown");
	assert_number(o, "nodes.0.weight", 3);
	assert_number(o, "nodes.0.logon_timeouts", 0);
	assert_bool(o, "nodes.0.logons_held", false);
	assert_bool(o, "nodes.0.draining", false);
	json_decref(o);
}

static void
test_policy(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"show\",\"what\":\"policy\"}\n");

	assert_number(o, "policy.generation", 7);
	assert_text(o, "policy.path", f->path);
	assert_text(o, "policy.nodes.0.name", "n1");
	assert_text(o, "policy.smb1", "refuse");
	assert_text(o, "policy.unkeyed", "pass");
	assert_text(o, "policy.gmac", "pass");
	assert_text(o, "policy.auth.min_dialect", "2.0.2");
	assert_text(o, "policy.listeners.0.name", "lan");
	assert_true(json_is_true(at(o, "policy.listeners.0.intercept")));
	assert_text(o, "policy.listeners.0.smb1", "refuse");
	assert_text(o, "policy.listeners.0.min_dialect", "2.0.2");
	assert_int_equal(json_array_size(at(o, "policy.nodes.0.other_addresses")), 0);
	assert_number(o, "policy.pin_linger_ms", 900000);
	assert_number(o, "policy.health.interval_ms", 2000);
	assert_number(o, "policy.limits.accept_rate", 1000);
	assert_int_equal(json_array_size(at(o, "policy.addresses.allow")), 0);
	assert_non_null(strstr(json_string_value(at(o, "policy.text")), "127.0.0.11:445"));
	json_decref(o);
}

static void
test_stats(void **state)
{
	struct fixture *f = *state;
	json_t *o;

	stats_add(&f->worker->stats, STAT_accepted, 5);
	stats_closed(&f->worker->stats, CLOSE_BAD_CHAIN);
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"stats\"}\n");
	assert_number(o, "stats.accepted", 5);
	assert_number(o, "stats.closed.bad_chain", 1);
	assert_number(o, "stats.closed.client_eof", 0);
	assert_number(o, "stats.connections", 0);
	assert_number(o, "stats.sessions_now", 0);
	assert_number(o, "stats.policy_generation", 7);
	assert_number(o, "stats.workers", 1);
	assert_number(o, "stats.uptime_s", 0);
	json_decref(o);
}

/* The same keys in both, objects within objects, and a text for each number. */
static void
assert_described(json_t *stats, json_t *descriptions)
{
	const char *key;
	json_t *value;

	assert_int_equal(json_object_size(stats), json_object_size(descriptions));
	json_object_foreach(stats, key, value) {
		json_t *text = json_object_get(descriptions, key);

		if (json_is_object(value)) {
			assert_described(value, text);
		} else {
			assert_true(json_is_string(text));
			assert_true(json_string_length(text) > 5);
		}
	}
}

static void
test_describe(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"show\",\"what\":\"stats\"}\n");

	assert_null(json_object_get(o, "descriptions"));
	json_decref(o);
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"stats\",\"describe\":true}\n");
	assert_number(o, "stats.accepted", 0);
	assert_text(o, "descriptions.accepted",
	    "client connections accepted; those that a limit refused at once are not among them");
	assert_text(o, "descriptions.closed.no_memory", "out of memory");
	assert_described(at(o, "stats"), at(o, "descriptions"));
	json_decref(o);
}

/* The old name of the map and the new one. */
static void
test_map(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"show\",\"what\":\"state\"}\n");

	assert_text(o, "state.backend", "local");
	json_decref(o);
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"map\"}\n");
	assert_text(o, "state.backend", "local");
	json_decref(o);
}

static void
keep_hold(void *arg, const struct state_claim *c)
{
	(void)arg;
	assert_non_null(c);
}

static struct query_seen *
seen_of(const struct ifinfo *told)
{
	return query_seen_new(&(struct query_lists){ .told = told, .ntold = 1 });
}

/*
 * One client live with two connections and a session, one that lingers, and one without a claim, by
 * address and node.
 */
static void
test_clients(void **state)
{
	struct fixture *f = *state;
	struct state_key live = { .b = { STATE_KEY_GUID, 0x11 } },
	                 gone = { .b = { STATE_KEY_GUID, 0x22 } };
	struct state_hold *h[3];
	struct node *n = nodes_find_name(f->parts.nodes, "n1");
	struct conn_info conns[] = {
		{ .id = 9, .stage = CONN_RELAY, .has_guid = true, .client_guid = { { 0x11 } },
		    .node = "n1", .dialect = SMB2_DIALECT_311, .sessions = 1, .listener = "lan" },
		{ .id = 2, .stage = CONN_RELAY, .node = "n1", .dialect = SMB2_DIALECT_202 },
		{ .id = 3, .stage = CONN_RELAY, .node = "n2", .smb1 = true, .logged_on = true },
		{ .id = 4, .stage = CONN_RELAY, .has_guid = true, .client_guid = { { 0x11 } } },
		{ .id = 5, .stage = CONN_FIRST },
	};
	struct session_info si = { .node = n, .session_id = 0xfedcba9876543210,
		.dialect = SMB2_DIALECT_311, .cipher = SMB2_CIPHER_AES128_GCM,
		.signing = SMB2_SIGNING_AES_GMAC, .signing_required = true, .since_ms = 1 };
	struct channel_ends ci = { .conn_id = 77 }, bound = { .conn_id = 4 };
	struct ifinfo told = { .ifindex = 1, .link_speed = 25000000000 };
	struct channel *c[2];
	json_t *o, *x;

	assert_int_equal(addr_parse(&conns[1].client.addr, "10.9.8.7"), 0);
	assert_int_equal(addr_parse(&told.addr, "10.1.0.5"), 0);
	told.capability = IFINFO_RSS_CAPABLE;
	conns[2].client.addr = conns[1].client.addr;
	state_claim(f->env.claims, &live, n->id, n->id, keep_hold, NULL, &h[0]);
	state_claim(f->env.claims, &live, n->id, n->id, keep_hold, NULL, &h[1]);
	state_claim(f->env.claims, &gone, n->id, n->id, keep_hold, NULL, &h[2]);
	state_firm(f->env.claims, h[2], 0);
	state_release(f->env.claims, &h[2], 59500);
	/* The session's first channel is gone already: it is found by the second. */
	c[0] = sesstab_join(f->parts.sessions, &si, &ci, false, NULL, NULL);
	c[1] = sesstab_join(f->parts.sessions, &si, &bound, true, NULL, NULL);
	channel_query_result(f->parts.sessions, c[1], QUERY_OURS, seen_of(&told));

	o = report_clients(&f->env, &(struct report_conns){ conns, 5 }, NULL, clock_ms());
	assert_int_equal(json_array_size(at(o, "clients")), 4);
	x = json_array_get(at(o, "clients"), 3);
	assert_text(x, "client", "10.9.8.7");
	assert_text(x, "node", "n2");
	assert_bool(x, "firm", true);
	assert_number(x, "connections_list.0.id", 3);
	for (size_t i = 0; i < 3; i++) {
		x = json_array_get(at(o, "clients"), i);
		assert_text(x, "node", "n1");
		if (json_integer_value(at(x, "connections")) == 2) {
			assert_text(x, "client", "00000011-0000-0000-0000-000000000000");
			assert_text(x, "kind", "guid");
			assert_number(x, "linger_s", 0);
			assert_text(x, "sessions.0.session_id", "0xfedcba9876543210");
			assert_text(x, "sessions.0.told", "announced list");
			assert_text(x, "sessions.0.addresses.0", "10.1.0.5");
			assert_int_equal(json_array_size(at(x, "connections_list")), 2);
		} else if (json_integer_value(at(x, "connections")) == 1) {
			assert_text(x, "client", "10.9.8.7");
			assert_text(x, "kind", "address");
			assert_number(x, "connections_list.0.id", 2);
			assert_text(x, "connections_list.0.dialect", "2.0.2");
			assert_int_equal(json_array_size(at(x, "connections_list")), 1);
		} else {
			assert_text(x, "client", "00000022-0000-0000-0000-000000000000");
			assert_bool(x, "firm", true);
			assert_number(x, "linger_s", 60);
			assert_int_equal(json_array_size(at(x, "connections_list")), 0);
		}
	}
	json_decref(o);

	o = ask(f, "{\"cmd\":\"show\",\"what\":\"sessions\"}\n");
	assert_int_equal(json_array_size(at(o, "sessions")), 1);
	assert_text(o, "sessions.0.dialect", "3.1.1");
	assert_text(o, "sessions.0.signing_algorithm", "AES-128-GMAC");
	assert_text(o, "sessions.0.cipher", "AES-128-GCM");
	assert_text(o, "sessions.0.protection", "opaque");
	assert_text(o, "sessions.0.why", "no key: signing is required");
	assert_text(o, "sessions.0.addresses.0.address", "10.1.0.5");
	assert_number(o, "sessions.0.addresses.0.speed", 25000000000);
	assert_bool(o, "sessions.0.addresses.0.rss", true);
	assert_bool(o, "sessions.0.channels.0.bound", false);
	assert_bool(o, "sessions.0.channels.1.bound", true);
	json_decref(o);
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"clients\"}\n");
	assert_int_equal(json_array_size(at(o, "clients")), 2);
	json_decref(o);

	channel_leave(f->parts.sessions, &c[0]);
	channel_leave(f->parts.sessions, &c[1]);
	state_release(f->env.claims, &h[0], 0);
	state_release(f->env.claims, &h[1], 0);
	node_unref(&n);
}

static void
test_text(void **state)
{
	json_t *o = jtext("caf\xe9");

	(void)state;
	assert_string_equal(json_string_value(o), "caf?");
	json_decref(o);
	o = jtext("caf\xc3\xa9");
	assert_string_equal(json_string_value(o), "caf\xc3\xa9");
	json_decref(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
		cmocka_unit_test(test_text),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
