/* daemon-http.c: what is seen over HTTP: requests, metrics, the page, and what they are made of */
#include "config.h"

#include "base/clock.h"
#include "daemon/ctl_env.h"
#include "daemon/facts.h"
#include "daemon/history.h"
#include "daemon/http_request.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "daemon/page_text.h"
#include "daemon/ready.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "nodes/traffic.h"
#include "policy/policy.h"
#include "proxy/worker.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int
request(struct http_request *r, const char *head)
{
	return http_request_get(r, head, strlen(head));
}

static void
test_request(void **state)
{
	struct http_request r;

	(void)state;
	assert_int_equal(request(&r, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
	assert_string_equal(r.path, "/metrics");
	assert_false(r.head);
	assert_int_equal(request(&r, "HEAD /?a=/b HTTP/1.0\n\n"), 0);
	assert_string_equal(r.path, "/");
	assert_true(r.head);
	assert_int_equal(request(&r, "GET http://h:1/readyz?x HTTP/1.1\r\n\r\n"), 0);
	assert_string_equal(r.path, "/readyz");
	assert_int_equal(request(&r, "GET http://h HTTP/1.1\r\n\r\n"), 0);
	assert_string_equal(r.path, "/");
	assert_int_equal(request(&r, "GET /a/path/that/is/longer/than/any/that/is/known/here/by/"
	                             "anybody/at/all HTTP/1.1\r\n\r\n"), 0);
	assert_string_equal(r.path, "");
	assert_int_equal(request(&r, "POST / HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(request(&r, "get / HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(request(&r, "GET / HTTP/2.0\r\n\r\n"), 505);
	assert_int_equal(request(&r, "GET /\r\n\r\n"), 400);
	assert_int_equal(request(&r, "GET / HTTP/1.1 x\r\n\r\n"), 400);
	assert_int_equal(request(&r, "GET /\t HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(request(&r, "GET metrics HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(request(&r, "GET htt HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(request(&r, "\r\n\r\n"), 400);
}

/* Every beginning is not whole yet, wherever it ends, and none is read beyond. */
static void
test_head(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nGET";
	size_t whole = sizeof(text) - 1 - 3;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = malloc(n + 1);
		struct http_request r;
		int status;

		assert_non_null(copy);
		memcpy(copy, text, n);
		assert_int_equal(http_head_len(copy, n), n < whole ? 0 : whole);
		status = http_request_get(&r, copy, n);
		assert_int_equal(status, n < strlen("GET / HTTP/1.1\r\n") ? 400 : 0);
		free(copy);
	}
	assert_int_equal(http_head_len("GET /\n\n", 7), 7);
	assert_int_equal(http_head_len("GET /\n\r\n", 8), 8);
	assert_int_equal(http_head_len("GET /\r\r\r\r", 9), 0);
}

static struct facts *
some_facts(void)
{
	struct facts *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->version = "1.2";
	f->host = "px1";
	f->now = 86400 * 3 + 3661;
	f->uptime_s = 90000;
	f->reload_ok = true;
	f->reload_time = 1700000000;
	f->generation = 4;
	f->process = (struct process_use){ .start_time = 1.5, .cpu_s = 2.25, .rss = 4096,
		.open_fds = -1, .max_fds = 1024 };
	f->nlisteners = 1;
	f->listeners[0] = (struct facts_listener){ .name = "lan", .accepted = 9, .open = 5,
		.placed = 4 };
	f->connections = 5;
	f->nnodes = 2;
	for (size_t i = 0; i < 2; i++) {
		struct facts_node *n = &f->nodes[i];

		strcpy(n->name, i == 0 ? "n1" : "a\"b\\c\nd<e>");
		strcpy(n->address, "10.0.0.1:445");
		n->state = i == 0 ? "up" : "down";
		n->connections = n->at_listener[0] = 2;
		n->sessions[SESSION_KEYED] = 1 + i;
		n->channels[SESSION_KEYED] = 3;
		n->probe_us = 1500;
		n->logons_failed = 7;
	}
	f->nodes[0].files = 6;
	f->ntraffic = 2;
	f->traffic[0] = (struct facts_traffic){ "", { 0, 13 } };
	f->traffic[1] = (struct facts_traffic){ "gone", { 11, 12 } };
	f->sum.closed[CLOSE_NO_NODE] = 3;
	f->sum.count[STAT_ntlm_refused] = 2;
	return f;
}

static char *
metrics_of(const struct facts *f)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	metrics_print(f, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
assert_line(const char *text, const char *line)
{
	const char *at = text;
	size_t n = strlen(line);

	while ((at = strstr(at, line)) != NULL) {
		if ((at == text || at[-1] == '\n') && at[n] == '\n')
			return;
		at += n;
	}
	fail_msg("there is no line \"%s\"", line);
}

static void
test_metrics(void **state)
{
	struct facts *f = some_facts();
	char *text = metrics_of(f);

	(void)state;
	assert_line(text, "smbgate_build_info{version=\"1.2\"} 1");
	assert_line(text, "process_cpu_seconds_total 2.250000");
	assert_line(text, "process_max_fds 1024");
	assert_null(strstr(text, "process_open_fds"));
	assert_line(text, "smbgate_node_state{node=\"n1\",state=\"up\"} 1");
	assert_line(text, "smbgate_node_state{node=\"n1\",state=\"down\"} 0");
	assert_line(text, "smbgate_node_state{node=\"a\\\"b\\\\c\\nd<e>\",state=\"down\"} 1");
	assert_line(text, "smbgate_node_probe_duration_seconds{node=\"n1\"} 0.001500");
	assert_line(text, "smbgate_connections{listener=\"lan\",node=\"n1\"} 2");
	assert_line(text, "smbgate_connections{listener=\"lan\",node=\"\"} 1");
	assert_line(text, "smbgate_connections_accepted_total{listener=\"lan\"} 9");
	assert_line(text, "smbgate_connections_closed_total{reason=\"no_node\"} 3");
	assert_line(text, "smbgate_sessions{node=\"n1\",protection=\"keyed\"} 1");
	assert_line(text, "smbgate_channels{node=\"n1\",protection=\"keyed\"} 3");
	assert_line(text, "smbgate_logons_total{node=\"n1\",result=\"failed\"} 7");
	assert_line(text, "smbgate_refusals_total{code=\"no_node\"} 3");
	assert_line(text, "smbgate_refusals_total{code=\"ntlm_refused\"} 2");
	assert_line(text, "smbgate_node_open_files{node=\"n1\"} 6");
	assert_line(text, "smbgate_bytes_total{node=\"gone\",direction=\"to_node\"} 11");
	assert_line(text, "smbgate_bytes_total{node=\"gone\",direction=\"to_client\"} 12");
	assert_line(text, "smbgate_bytes_total{node=\"\",direction=\"to_client\"} 13");
	assert_line(text, "smbgate_policy_last_reload_timestamp_seconds 1700000000");
	assert_null(strstr(text, "smbgate_state_"));
	assert_null(strstr(text, "smbgate_keyd_"));
	for (int i = 0; i < CLOSE_COUNT; i++) {
		char line[128];

		snprintf(line, sizeof(line), "{reason=\"%s\"}",
		    close_counter((enum close_reason)i));
		assert_non_null(strstr(text, line));
	}
	free(text);
	f->map.shared = f->map.connected = true;
	f->map.wait = (struct facts_wait){ .all = 5, .us = 1250000, .within = { 1, 4 } };
	f->map.npeers = 4;
	f->map.peers[0].same_secret = f->map.peers[0].same_nodes = true;
	f->map.peers[1].same_secret = true;
	f->map.peers[2].same_nodes = true;
	f->keyd.wanted = f->keyd.readable = true;
	f->keyd.restarts = 2;
	text = metrics_of(f);
	assert_line(text, "smbgate_state_wait_seconds_bucket{le=\"0.0005\"} 1");
	assert_line(text, "smbgate_state_wait_seconds_bucket{le=\"0.001\"} 4");
	assert_line(text, "smbgate_state_wait_seconds_bucket{le=\"+Inf\"} 5");
	assert_line(text, "smbgate_state_wait_seconds_sum 1.250000");
	assert_line(text, "smbgate_state_wait_seconds_count 5");
	assert_line(text, "smbgate_state_peers{match=\"yes\"} 1");
	assert_line(text, "smbgate_state_peers{match=\"secret\"} 2");
	assert_line(text, "smbgate_state_peers{match=\"nodes\"} 1");
	assert_line(text, "smbgate_keytab_readable 1");
	assert_line(text, "smbgate_state_connected 1");
	assert_line(text, "smbgate_state_degraded 0");
	assert_line(text, "smbgate_keyd_up 0");
	assert_line(text, "smbgate_keyd_restarts_total 2");
	free(text);
	free(f);
}

/* A name belongs to one refusal, and all of them are in the sum. */
static void
test_refusals(void **state)
{
	struct stats sum = { .count = { 0 } };

	(void)state;
	for (int i = 0; i < STAT_COUNT; i++)
		sum.count[i] = 1;
	for (int i = 0; i < CLOSE_COUNT; i++)
		sum.closed[i] = 1;
	for (size_t i = 0; i < refusals_kinds(); i++) {
		/* Answered, or an end: it is one of them each time. */
		const bool either = strcmp(refusals_code(i), "unkeyed_refused") == 0;

		assert_int_equal(refusals_count(i, &sum), either ? 2 : 1);
		assert_true(strlen(refusals_text(i)) > 10);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(refusals_code(i), refusals_code(k));
	}
	assert_int_equal(refusals_all(&sum), refusals_kinds() + 1);
}

static void
test_history(void **state)
{
	struct history *h = malloc(sizeof(*h));
	struct facts *f = some_facts();
	uint64_t v[HISTORY_LEN];

	(void)state;
	assert_non_null(h);
	history_begin(h, 1000);
	assert_int_equal(history_line(h, HISTORY_TO_NODE, v), 0);
	assert_int_equal(history_node(h, "n1", v), 0);
	for (unsigned i = 1; i <= 3 * HISTORY_LEN; i++) {
		f->sum.count[STAT_bytes_to_node] += 5000 * i;
		f->sum.count[STAT_accepted] += i;
		f->connections = f->nodes[0].connections = i;
		/* The second node leaves in between. */
		f->nnodes = i < HISTORY_LEN * 2 ? 2 : 1;
		history_take(h, f, 1000 + 5000 * i);
		assert_int_equal(history_line(h, HISTORY_TO_NODE, v),
		    i < HISTORY_LEN ? i : HISTORY_LEN);
	}
	assert_int_equal(v[HISTORY_LEN - 1], 3000 * HISTORY_LEN);
	assert_int_equal(v[0], 1000 * (2 * HISTORY_LEN + 1));
	(void)history_line(h, HISTORY_ACCEPTED, v);
	assert_int_equal(v[HISTORY_LEN - 1], 3 * HISTORY_LEN);
	(void)history_line(h, HISTORY_CONNECTIONS, v);
	assert_int_equal(v[0], 2 * HISTORY_LEN + 1);
	assert_int_equal(history_node(h, "n1", v), HISTORY_LEN);
	assert_int_equal(v[HISTORY_LEN - 1], 3 * HISTORY_LEN);
	assert_int_equal(history_node(h, f->nodes[1].name, v), HISTORY_LEN);
	assert_int_equal(v[HISTORY_LEN - 1], 0);
	/* More nodes than there are rings come and go. */
	for (unsigned i = 0; i < 3 * HISTORY_NODES; i++) {
		snprintf(f->nodes[0].name, sizeof(f->nodes[0].name), "x%u", i);
		history_take(h, f, clock_ms());
	}
	assert_int_equal(history_node(h, f->nodes[0].name, v), HISTORY_LEN);
	assert_int_equal(history_node(h, "n1", v), 0);
	free(h);
	free(f);
}

static char *
page_of(const struct facts *f, const struct history *h)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	page_print(f, h, "0123", out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static unsigned
count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* Every element that needs an end has one. */
static void
assert_whole(const char *text)
{
	static const char *const names[] = { "article", "section", "div", "span", "p", "dl", "dt",
		"dd", "svg", "h2", "h3", "header", "main", "footer", "style", "head", "body", "b" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char a[16], b[16], c[16];

		snprintf(a, sizeof(a), "<%s>", names[i]);
		snprintf(b, sizeof(b), "<%s ", names[i]);
		snprintf(c, sizeof(c), "</%s>", names[i]);
		assert_int_equal(count_of(text, a) + count_of(text, b), count_of(text, c));
	}
}

static void
test_page(void **state)
{
	struct history *h = calloc(1, sizeof(*h));
	struct facts *f = some_facts();
	char *text;

	(void)state;
	assert_non_null(h);
	history_begin(h, 1);
	history_take(h, f, 5001);
	history_take(h, f, 10001);
	f->details = true;
	f->nnewest = 1;
	f->newest_node[0] = "n1";
	strcpy(f->newest[0].principal, "<script>'&\"\x01");
	text = page_of(f, h);
	assert_whole(text);
	assert_null(strstr(text, "<script"));
	assert_non_null(strstr(text, "&lt;script&gt;&#39;&amp;&quot;?"));
	assert_non_null(strstr(text, "a&quot;b\\c?d&lt;e&gt; is down"));
	assert_non_null(strstr(text, "As of 01:01:01 UTC"));
	assert_non_null(strstr(text, "up for 1 d 1 h"));
	assert_int_equal(count_of(text, "class=\"node "), 2);
	assert_int_equal(count_of(text, "<polyline"), 4 + 2);
	assert_null(strstr(text, "Its agent says"));
	assert_null(strstr(text, "was here before"));
	free(text);
	f->before = (struct facts_before){ 77, 3, 3540, "SMB1 <old>" };
	f->nodes[0].agent = "up";
	f->nodes[1].agent = "drain";
	strcpy(f->nodes[1].agent_why, "<CTDB> banned");
	text = page_of(f, h);
	assert_whole(text);
	assert_non_null(strstr(text, "Process 77, which was here before, still serves 3 "
	                             "connections, for 59 min at most: SMB1 &lt;old&gt;</p>"));
	assert_int_equal(count_of(text, "Its agent says"), 1);
	assert_non_null(strstr(text, "Its agent says drain: &lt;CTDB&gt; banned"));
	free(text);
	f->details = false;
	f->reload_ok = false;
	f->ready_why = "no node takes new clients";
	f->map.shared = true;
	strcpy(f->map.trouble, "-OOM <command>");
	f->map.npeers = 2;
	strcpy(f->map.peers[0].name, "px<2>");
	f->map.peers[1].same_secret = true;
	f->keyd.wanted = true;
	text = page_of(f, h);
	assert_whole(text);
	assert_non_null(strstr(text, "px&lt;2&gt;</dt><dd><span class=\"pill warn\"><i></i>"
	                             "another secret"));
	assert_non_null(strstr(text, "other nodes</span>"));
	assert_non_null(strstr(text, "cannot be read"));
	assert_null(strstr(text, "Newest sessions"));
	assert_non_null(strstr(text, "<span class=\"pill bad\"><i></i>no node takes new clients"));
	assert_non_null(strstr(text, "the last reload failed"));
	assert_non_null(strstr(text, "Redis is out of reach"));
	assert_non_null(strstr(text, "smbgate-keyd does not answer"));
	assert_non_null(strstr(text, "-OOM &lt;command&gt;"));
	free(text);
	/* Nothing at all. */
	memset(f, 0, sizeof(*f));
	f->version = f->host = "";
	text = page_of(f, h);
	assert_whole(text);
	assert_non_null(strstr(text, "The policy has no nodes."));
	assert_non_null(strstr(text, "Nobody has been turned away."));
	free(text);
	free(h);
	free(f);
}

static void
assert_printed(void (*print)(FILE *out, uint64_t n), uint64_t n, const char *wanted)
{
	char text[64] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	print(out, n);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, wanted);
}

static void
test_texts(void **state)
{
	(void)state;
	assert_printed(page_number, 0, "0");
	assert_printed(page_number, 999, "999");
	assert_printed(page_number, 1000, "1,000");
	assert_printed(page_number, UINT64_MAX, "18,446,744,073,709,551,615");
	assert_printed(page_bytes, 0, "0 B");
	assert_printed(page_bytes, 999, "999 B");
	assert_printed(page_bytes, 1000, "1.0 kB");
	assert_printed(page_bytes, 999600, "1.0 MB");
	assert_printed(page_bytes, 12345678, "12 MB");
	assert_printed(page_bytes, UINT64_MAX, "18447 PB");
	assert_printed(page_duration, 99, "99 s");
	assert_printed(page_duration, 100, "1 min");
	assert_printed(page_duration, 7260, "2 h 1 min");
	assert_printed(page_duration, 90061, "1 d 1 h");
}

/* A worker that has not turned for a while is found; one that has just been started has time. */
static void
test_live(void **state)
{
	struct worker *w = calloc(2, sizeof(*w));
	struct worker *list[] = { &w[0], &w[1] };
	struct ctl_env env = { .workers = list, .nworkers = 2 };
	uint64_t now = clock_ms() + 100000;

	(void)state;
	assert_non_null(w);
	env.started_ms = clock_ms();
	assert_null(ready_live(&env));
	env.started_ms = now > 200000 ? now - 200000 : 1;
	w[0].turned_ms = w[1].turned_ms = clock_ms();
	assert_null(ready_live(&env));
	w[1].turned_ms = clock_ms() - 4000;
	assert_null(ready_live(&env));
	w[1].turned_ms = clock_ms() - 5100;
	assert_string_equal(ready_live(&env), "a worker has not turned for 5 seconds");
	free(w);
}

#define MANY 3000

/* All are counted, whatever their number, and the newest are the newest. */
static void
test_tally(void **state)
{
	struct sesstab *t = sesstab_new();
	struct channel **c = calloc(MANY, sizeof(struct channel *));
	struct channel_ends *ends = calloc(MANY, sizeof(*ends));
	struct node *nodes = calloc(3, sizeof(*nodes));
	struct session_tally rows[2] = { { .node = &nodes[0] }, { .node = &nodes[1] } };
	struct session_newest newest[5];
	char name[32];

	(void)state;
	assert_true(t != NULL && c != NULL && ends != NULL && nodes != NULL);
	for (unsigned i = 0; i < MANY; i++) {
		struct session_info si = { .node = &nodes[i % 3], .session_id = i / 6 + 1,
			.since_ms = i + 1, .keyed = i % 2 == 0, .principal = name,
			.sealed = i % 3 == 1 };

		snprintf(name, sizeof(name), "u%u", i);
		c[i] = sesstab_join(t, &si, &ends[i], i >= 3 && i % 6 >= 3, NULL, NULL);
		assert_non_null(c[i]);
	}
	/* Two thirds of a node's channels are on the same number as the one before. */
	assert_int_equal(sesstab_count(t), MANY / 2);
	sesstab_tally(t, rows, 2);
	assert_int_equal(sesstab_newest(t, newest, 5), 5);
	assert_int_equal(rows[0].sessions[SESSION_KEYED] + rows[0].sessions[SESSION_UNSIGNED] +
	        rows[0].sessions[SESSION_OPAQUE], MANY / 6);
	assert_int_equal(rows[1].channels[SESSION_KEYED] + rows[1].channels[SESSION_UNSIGNED] +
	        rows[1].channels[SESSION_OPAQUE], MANY / 3);
	assert_int_equal(rows[0].sessions[SESSION_OPAQUE], 0);
	assert_int_equal(rows[1].sessions[SESSION_OPAQUE], MANY / 6);
	for (unsigned i = 1; i < 5; i++)
		assert_true(newest[i - 1].since_ms >= newest[i].since_ms);
	assert_true(newest[4].since_ms > MANY - 20);
	assert_int_equal(newest[0].channels, 2);
	assert_int_equal(newest[0].principal[0], 'u');
	channel_opaque(t, c[0], NOKEY_wrong_key, "a wrong key");
	channel_shows(t, c[3], "too late");
	assert_true(sesstab_end(t, 1, &nodes[1]));
	memset(rows[0].sessions, 0, sizeof(rows[0].sessions));
	memset(rows[1].channels, 0, sizeof(rows[1].channels));
	sesstab_tally(t, rows, 2);
	assert_int_equal(rows[0].sessions[SESSION_OPAQUE], 1);
	assert_int_equal(rows[1].channels[SESSION_KEYED] + rows[1].channels[SESSION_UNSIGNED] +
	        rows[1].channels[SESSION_OPAQUE], MANY / 3 - 2);
	for (unsigned i = 0; i < MANY; i++)
		(void)channel_leave(t, &c[i]);
	assert_int_equal(sesstab_count(t), 0);
	sesstab_free(&t);
	free(nodes);
	free(ends);
	free(c);
}

/* Bytes stay with a name, whatever becomes of its nodes. */
static void
test_traffic(void **state)
{
	struct worker *w = calloc(2, sizeof(*w));
	struct worker *list[] = { &w[0], &w[1] };
	struct nodes *nodes = nodes_new();
	struct policy *p = calloc(1, sizeof(*p));
	struct pol_node pn[2] = { { .name = "n1" }, { .name = "n2" } };
	uint64_t bytes[TRAFFIC_WAYS];
	unsigned number;
	struct node *n;

	(void)state;
	assert_true(p != NULL && nodes != NULL && w != NULL);
	p->nodes = pn;
	p->nnodes = 2;
	nodes_apply(nodes, p, 1);
	n = nodes_find_policy(nodes, &pn[1]);
	assert_non_null(n);
	number = n->traffic;
	assert_string_equal(nodes_name(nodes, number), "n2");
	traffic_add(&w[0].env.traffic, number, TRAFFIC_TO_NODE, 5);
	traffic_add(&w[1].env.traffic, number, TRAFFIC_TO_NODE, 6);
	node_unref(&n);
	p->nnodes = 1;
	nodes_apply(nodes, p, 2);
	nodes_sweep(nodes);
	assert_null(nodes_find_policy(nodes, &pn[1]));
	workers_moved(list, 2, number, bytes);
	assert_int_equal(bytes[TRAFFIC_TO_NODE], 11);
	pn[1].address.port = 77;
	p->nnodes = 2;
	nodes_apply(nodes, p, 3);
	n = nodes_find_policy(nodes, &pn[1]);
	assert_int_equal(n->traffic, number);
	assert_int_equal(nodes_names(nodes), 3);
	node_unref(&n);
	/* More names than there are numbers. */
	for (unsigned i = 0; i < TRAFFIC_NAMES_MAX; i++) {
		snprintf(pn[0].name, sizeof(pn[0].name), "x%u", i);
		nodes_apply(nodes, p, 4);
		nodes_sweep(nodes);
	}
	assert_int_equal(nodes_names(nodes), TRAFFIC_NAMES_MAX);
	n = nodes_find_policy(nodes, &pn[0]);
	assert_int_equal(n->traffic, 0);
	node_unref(&n);
	nodes_free(&nodes);
	free(p);
	free(w);
}

static uint64_t
files_of(struct sesstab *t, const struct node *n)
{
	struct session_tally row = { .node = n };

	sesstab_tally(t, &row, 1);
	return row.files;
}

/* Open files of a node: of its sessions, until these are over. */
static void
test_files(void **state)
{
	struct sesstab *t = sesstab_new();
	struct node *n = calloc(2, sizeof(*n));
	struct channel_ends ends = { .conn_id = 1 };
	struct session_info si = { .node = &n[0], .session_id = 1 };
	struct channel *a, *b, *c;

	(void)state;
	assert_true(t != NULL && n != NULL);
	a = sesstab_join(t, &si, &ends, false, NULL, NULL);
	b = sesstab_join(t, &si, &ends, true, NULL, NULL);
	si.session_id = 2;
	c = sesstab_join(t, &si, &ends, false, NULL, NULL);
	assert_true(a != NULL && b != NULL && c != NULL);
	assert_int_equal(channel_opened(t, a, 1), 0);
	assert_int_equal(channel_opened(t, a, 1), 0);
	assert_int_equal(channel_opened(t, b, 2), 0);
	assert_int_equal(channel_opened(t, c, 1), 0);
	assert_int_equal(files_of(t, &n[0]), 4);
	assert_int_equal(files_of(t, &n[1]), 0);
	channel_closed(t, b, 2);
	channel_closed(t, b, 2);
	channel_disconnected(t, b, 1);
	assert_int_equal(files_of(t, &n[0]), 1);
	assert_int_equal(channel_opened(t, a, 1), 0);
	assert_true(sesstab_end(t, 1, &n[0]));
	assert_int_equal(channel_opened(t, b, 1), 0);
	assert_int_equal(files_of(t, &n[0]), 1);
	channel_leave(t, &a);
	channel_leave(t, &b);
	channel_leave(t, &c);
	assert_int_equal(files_of(t, &n[0]), 0);
	sesstab_free(&t);
	free(n);
}

static struct refusal
refusal_of(unsigned source, unsigned guid, unsigned kind, uint64_t at_ms)
{
	struct refusal r = { .kind = (uint8_t)kind, .at_ms = at_ms };

	memcpy(r.client.addr.b + 12, &source, sizeof(source));
	memcpy(r.guid.b, &guid, sizeof(guid));
	return r;
}

/* A flood of one client's takes no room from others, and what must go is counted. */
static void
test_refused(void **state)
{
	static struct refusal all[REFUSED_MAX];
	struct refused *r = refused_new();
	struct refusal one = refusal_of(7, 1, 2, 1000);
	uint64_t left_out, kept = 0;
	size_t n;

	(void)state;
	assert_non_null(r);
	refused_note(r, &one);
	for (unsigned i = 0; i < 5000; i++) {
		one = refusal_of(8, i, i % 3, 2000 + i);
		refused_note(r, &one);
	}
	for (unsigned i = 0; i < 10; i++) {
		one = refusal_of(9, 1, 1, 9000);
		refused_note(r, &one);
	}
	n = refused_list(r, 10000, all, &left_out);
	assert_int_equal(n, REFUSED_SOURCE_MAX + 2);
	assert_int_equal(all[0].count, 10);
	assert_int_equal(all[1].at_ms, 6999);
	assert_int_equal(all[n - 1].at_ms, 1000);
	assert_int_equal(left_out, 5000 - REFUSED_SOURCE_MAX);
	/* As many clients as there may be, and one more. */
	for (unsigned i = 0; i < REFUSED_MAX; i++) {
		one = refusal_of(100 + i, 1, 2, 10000 + i);
		refused_note(r, &one);
	}
	n = refused_list(r, 12000, all, &left_out);
	for (size_t i = 0; i < n; i++)
		kept += all[i].count;
	assert_int_equal(n, REFUSED_MAX);
	assert_int_equal(kept + left_out, 1 + 5000 + 10 + REFUSED_MAX);
	/* What is old is neither shown nor counted as left out. */
	assert_int_equal(refused_list(r, 20000 + REFUSED_MS, all, &left_out), 0);
	refused_free(&r);
	assert_null(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
