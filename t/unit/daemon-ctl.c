/* daemon-ctl.c: the control socket: its name, its requests, its reports, clients that misbehave */
#include "config.h"

#include "auth/secret.h"
#include "base/clock.h"
#include "daemon/connlist.h"
#include "daemon/ctl.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/json.h"
#include "daemon/report.h"
#include "daemon/scribe.h"
#include "daemon/stand.h"
#include "inspect/query_seen.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/limits.h"
#include "proxy/mailbox.h"
#include "proxy/worker.h"
#include "smb/const.h"
#include "state/local.h"
#include "state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

/* As many as are served at once. */
#define PEERS 16

/* All that the control socket needs, its one worker on the same thread: the test sets the order. */
struct fixture {
	char dir[32];
	char path[64];
	struct secret secret;
	struct conf conf;
	struct worker_parts parts;
	struct worker *worker;
	struct mailbox *mailbox;
	struct ctl_status status;
	struct ctl_env env;
	struct stats main_stats;
	struct ctl *ctl;
	uint64_t leave_ms;	/* the deadline of an order to stop */
	bool taken;		/* it finds that another process has taken over */
};

static int
setup_dir(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/smbgate-ctl-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sub/control.sock", f->dir);
	*state = f;
	return 0;
}

static int
teardown_dir(void **state)
{
	struct fixture *f = *state;
	char sub[64];

	unlink(f->path);
	snprintf(sub, sizeof(sub), "%s/sub", f->dir);
	rmdir(sub);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static struct policy *
one_node_policy(void)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	p->nodes = calloc(1, sizeof(*p->nodes));
	assert_non_null(p->nodes);
	p->nnodes = 1;
	strcpy(p->nodes[0].name, "n1");
	assert_int_equal(addrport_parse(&p->nodes[0].address, "127.0.0.11:445", 0), 0);
	p->nodes[0].weight = 3;
	p->generation = 7;
	return p;
}

static int
reload_verb(void *arg, struct errlist *e)
{
	struct fixture *f = arg;

	if (f->status.reloads++ == 0) {
		f->status.policy->generation++;
		return 0;
	}
	errlist_add(e, "policy.conf", 3, "smb1: not a word");
	return -1;
}

static void
drain_verb(void *arg, struct node *n, const struct stand *s)
{
	assert_non_null(arg);
	n->drain = s->kind != STAND_ACTIVE;
}

static bool
leave_verb(void *arg, const struct stand *s)
{
	struct fixture *f = arg;

	f->leave_ms = s->deadline_ms;
	if (f->taken)
		ctl_retire(f->ctl);
	return !f->taken;
}

static int
setup(void **state)
{
	struct fixture *f;

	setup_dir(state);
	f = *state;
	f->parts = (struct worker_parts){
		.nodes = nodes_new(),
		.sessions = sesstab_new(),
		.claims = local_map_new(100, clock_ms),
		.limits = limits_new(1000),
		.secret = &f->secret,
		.nworkers = 1,
	};
	f->status.policy = one_node_policy();
	f->conf = (struct conf){ .policy = f->path, .nlisten = 1 };
	f->conf.listen[0] = (struct conf_listen){ .name = "lan", .intercept = true };
	f->env = (struct ctl_env){
		.stats = &f->main_stats,
		.base = event_base_new(),
		.workers = &f->worker,
		.nworkers = 1,
		.nodes = f->parts.nodes,
		.sessions = f->parts.sessions,
		.limits = f->parts.limits,
		.claims = local_state_new(f->parts.claims),
		.status = &f->status,
		.conf = &f->conf,
		.started_ms = clock_ms(),
		.arg = f,
		.reload = reload_verb,
		.drain = drain_verb,
		.leave = leave_verb,
	};
	f->mailbox = mailbox_new(f->env.base);
	f->env.connlist = connlist_new(f->mailbox, f->env.workers, f->env.nworkers);
	nodes_apply(f->parts.nodes, f->status.policy, clock_ms());
	f->worker = worker_new(0, &f->parts, f->status.policy, NULL, 0);
	assert_non_null(f->worker);
	f->ctl = ctl_new(&f->env, ctl_bind(f->path, NULL));
	assert_non_null(f->ctl);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	ctl_free(&f->ctl);
	connlist_free(&f->env.connlist);
	worker_free(&f->worker);
	state_free(&f->env.claims);
	mailbox_free(&f->mailbox);
	policy_unref(&f->status.policy);
	limits_free(&f->parts.limits);
	local_map_free(&f->parts.claims);
	sesstab_free(&f->parts.sessions);
	nodes_free(&f->parts.nodes);
	event_base_free(f->env.base);
	return teardown_dir(state);
}

static int
dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	assert_int_not_equal(fd, -1);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
run_main(struct fixture *f)
{
	event_base_loop(f->env.base, EVLOOP_NONBLOCK);
}

static void
run_worker(struct fixture *f)
{
	event_base_loop(f->worker->base, EVLOOP_NONBLOCK);
}

static void
put_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What comes until the end, as JSON; closes fd. NULL when nothing came. */
static json_t *
get_answer(struct fixture *f, int fd)
{
	static char text[1 << 20];
	uint64_t end = clock_ms() + 5000;
	size_t len = 0;
	json_t *o;

	for (;;) {
		ssize_t n = recv(fd, text + len, sizeof(text) - len, MSG_DONTWAIT);

		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		assert_true(clock_ms() < end);
		run_main(f);
		run_worker(f);
	}
	close(fd);
	if (len == 0)
		return NULL;
	assert_int_equal(text[len - 1], '\n');
	o = json_loadb(text, len, 0, NULL);
	assert_non_null(o);
	return o;
}

static json_t *
ask(struct fixture *f, const char *request)
{
	int fd = dial(f->path);

	assert_int_not_equal(fd, -1);
	put_text(fd, request);
	return get_answer(f, fd);
}

static void
assert_error(json_t *o)
{
	assert_non_null(o);
	assert_true(json_is_string(json_object_get(o, "error")));
	json_decref(o);
}

/* At a path like "nodes.0.name"; borrowed. */
static json_t *
at(json_t *o, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *w = strtok_r(copy, ".", &save); w != NULL; w = strtok_r(NULL, ".", &save))
		o = json_is_array(o) ? json_array_get(o, (size_t)atoi(w)) : json_object_get(o, w);
	if (o == NULL)
		print_error("nothing at %s\n", path);
	assert_non_null(o);
	return o;
}

#define assert_text(o, path, want) assert_string_equal(json_string_value(at(o, path)), want)
#define assert_number(o, path, want) assert_int_equal(json_integer_value(at(o, path)), want)
#define assert_bool(o, path, want) assert_int_equal(json_is_true(at(o, path)), want)

static void
test_bind_new(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(0);
	struct stat st;
	int fd = ctl_bind(f->path, NULL);

	umask(old);
	assert_int_not_equal(fd, -1);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	*strrchr(f->path, '/') = '\0';
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	strcat(f->path, "/control.sock");
	close(fd);
}

static void
test_bind_stale(void **state)
{
	struct fixture *f = *state;
	int fd = ctl_bind(f->path, NULL), again;

	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(dial(f->path), -1);
	again = ctl_bind(f->path, NULL);
	assert_int_not_equal(again, -1);
	fd = dial(f->path);
	assert_int_not_equal(fd, -1);
	close(fd);
	close(again);
}

static void
test_bind_live(void **state)
{
	struct fixture *f = *state;
	int fd = ctl_bind(f->path, NULL), c;

	assert_int_not_equal(fd, -1);
	assert_int_equal(ctl_bind(f->path, NULL), -1);
	c = dial(f->path);
	assert_int_not_equal(c, -1);
	close(c);
	close(fd);
}

static void
test_bind_refused(void **state)
{
	struct fixture *f = *state;
	char path[256];
	int fd;

	/* Not a socket: it may be anything of value. */
	snprintf(path, sizeof(path), "%s/file", f->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(ctl_bind(path, NULL), -1);
	assert_int_equal(unlink(path), 0);
	/* A name that leads somewhere else is not followed. */
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(ctl_bind(path, NULL), -1);
	assert_int_equal(unlink(path), 0);
	/* More than the last directory is missing. */
	snprintf(path, sizeof(path), "%s/no/such/control.sock", f->dir);
	assert_int_equal(ctl_bind(path, NULL), -1);
	memset(path, 'x', 200);
	path[200] = '\0';
	assert_int_equal(ctl_bind(path, NULL), -1);
	assert_int_equal(ctl_bind("", NULL), -1);
}

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
test_drain(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"drain\",\"node\":\"n1\",\"force\":true}\n");
	struct node *n = nodes_find_name(f->parts.nodes, "n1");

	assert_bool(o, "draining", true);
	assert_text(o, "state", "drain");
	assert_false(node_takes_new(n));
	json_decref(o);
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"nodes\"}\n");
	assert_text(o, "nodes.0.state", "drain");
	assert_bool(o, "nodes.0.draining", true);
	json_decref(o);
	o = ask(f, "{\"cmd\":\"undrain\",\"node\":\"n1\"}\n");
	assert_text(o, "state", "unknown");
	assert_true(node_takes_new(n));
	json_decref(o);
	/* It is the only one. */
	assert_error(ask(f, "{\"cmd\":\"drain\",\"node\":\"n1\"}\n"));
	assert_error(ask(f, "{\"cmd\":\"maint\",\"node\":\"n1\"}\n"));
	assert_true(node_takes_new(n));
	assert_error(ask(f, "{\"cmd\":\"drain\",\"node\":\"n2\"}\n"));
	assert_error(ask(f, "{\"cmd\":\"drain\"}\n"));
	assert_error(ask(f, "{\"cmd\":\"undrain\",\"node\":[]}\n"));
	node_unref(&n);
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

/* Whoever has his answer, and sends a client, has it judged by the new policy. */
static void
test_reload_waits(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f->path);
	json_t *o;
	char c;

	put_text(fd, "{\"cmd\":\"reload\"}\n");
	while (f->status.reloads == 0)
		run_main(f);
	for (int i = 0; i < 100; i++)
		run_main(f);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	o = get_answer(f, fd);
	assert_bool(o, "reloaded", true);
	json_decref(o);
}

static void
test_reload(void **state)
{
	struct fixture *f = *state;
	json_t *o = ask(f, "{\"cmd\":\"reload\"}\n");

	assert_bool(o, "reloaded", true);
	assert_number(o, "generation", 8);
	json_decref(o);
	o = ask(f, "{\"cmd\":\"reload\"}\n");
	assert_true(json_is_string(at(o, "error")));
	assert_text(o, "errors.0", "policy.conf:3: smb1: not a word");
	assert_number(o, "errors_total", 1);
	assert_number(o, "generation", 8);
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
count_lists(void *arg, struct conn_parts *parts)
{
	int *count = arg;
	size_t n;
	struct conn_info *list = conn_parts_merge(parts, &n);

	assert_non_null(list);
	assert_int_equal(n, 0);
	free(list);
	conn_parts_free(&parts);
	++*count;
}

/* The worker does not answer: queries that were forgotten count, until it does. */
static void
test_slow_worker(void **state)
{
	struct connlist_query *q[CONNLIST_QUERIES_MAX], *more;
	struct fixture *f = *state;
	const char *why = NULL;
	int count = 0, fd;

	for (int i = 0; i < CONNLIST_QUERIES_MAX; i++) {
		q[i] = connlist_take(f->env.connlist, NULL, count_lists, &count, &why);
		assert_non_null(q[i]);
	}
	connlist_forget(&q[0]);
	assert_null(q[0]);
	more = connlist_take(f->env.connlist, NULL, count_lists, &count, &why);
	assert_null(more);
	assert_non_null(why);
	fd = dial(f->path);
	put_text(fd, "{\"cmd\":\"show\",\"what\":\"clients\"}\n");
	for (int i = 0; i < 4; i++)
		run_main(f);
	assert_error(get_answer(f, fd));
	/* What is counted by the workers needs none of them. */
	fd = dial(f->path);
	put_text(fd, "{\"cmd\":\"show\",\"what\":\"stats\"}\n");
	for (int i = 0; i < 4; i++)
		run_main(f);
	json_decref(get_answer(f, fd));
	run_worker(f);
	run_main(f);
	assert_int_equal(count, CONNLIST_QUERIES_MAX - 1);
	assert_non_null(connlist_take(f->env.connlist, NULL, count_lists, &count, &why));
	run_worker(f);
	run_main(f);
	assert_int_equal(count, CONNLIST_QUERIES_MAX);
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
	struct ifinfo told = { .ifindex = 1, .capability = IFINFO_RSS_CAPABLE,
		.link_speed = 25000000000 };
	struct channel *c[2];
	json_t *o, *x;

	assert_int_equal(addr_parse(&conns[1].client.addr, "10.9.8.7"), 0);
	assert_int_equal(addr_parse(&told.addr, "10.1.0.5"), 0);
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
test_bad_requests(void **state)
{
	static const char *const bad[] = { "\n", "garbage\n", "[]\n", "{}\n", "null\n",
		"{\"cmd\":1}\n", "{\"cmd\":\"show\"}\n",
		"{\"cmd\":\"show\",\"what\":\"secrets\"}\n", "{\"cmd\":\"shutdown\"}\n",
		"{\"cmd\":\"show\",\"cmd\":\"reload\"}\n", "{\"cmd\":\"\xff\xfe\"}\n",
		"{\"cmd\":\"show\",\"what\":\"nodes\"} x\n" };
	struct fixture *f = *state;
	char big[8192];
	int fd;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_error(ask(f, bad[i]));
	memset(big, '[', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_error(ask(f, big));
	/* The end of input in place of the newline. */
	fd = dial(f->path);
	put_text(fd, "{\"cmd\":\"show\",\"what\":\"nodes\"}");
	shutdown(fd, SHUT_WR);
	assert_error(get_answer(f, fd));
}

/* A client that sends no more can still read; in pieces is as good as at once. */
static void
test_odd_but_good(void **state)
{
	const char *request = "{\"cmd\":\"show\",\"what\":\"stats\"}\n";
	struct fixture *f = *state;
	int fd = dial(f->path);
	json_t *o;

	for (const char *p = request; *p != '\0'; p++) {
		char byte[2] = { *p, '\0' };

		put_text(fd, byte);
		run_main(f);
	}
	shutdown(fd, SHUT_WR);
	o = get_answer(f, fd);
	assert_number(o, "stats.workers", 1);
	json_decref(o);
	/* What follows the request is ignored. */
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"nodes\"}\n{\"cmd\":\"drain\",\"node\":\"n1\"}\n");
	assert_text(o, "nodes.0.state", "unknown");
	json_decref(o);
}

static void
test_client_goes(void **state)
{
	struct fixture *f = *state;
	json_t *o;
	int fd;

	/* Without a word. */
	fd = dial(f->path);
	run_main(f);
	close(fd);
	run_main(f);
	/* While the worker is asked; and when it has answered, while the answer is made. */
	for (int i = 0; i < 4; i++) {
		fd = dial(f->path);
		put_text(fd, i % 2 == 0 ? "{\"cmd\":\"show\",\"what\":\"clients\"}\n"
		                        : "{\"cmd\":\"kill\",\"who\":\"nobody\"}\n");
		run_main(f);
		run_main(f);
		if (i >= 2)
			run_worker(f);
		close(fd);
		run_main(f);
		run_worker(f);
		run_main(f);
		run_main(f);
	}
	assert_error(ask(f, "{\"cmd\":\"kill\",\"who\":\"nobody\"}\n"));
	o = ask(f, "{\"cmd\":\"show\",\"what\":\"stats\"}\n");
	assert_number(o, "stats.workers", 1);
	json_decref(o);
}

static void
test_many(void **state)
{
	struct fixture *f = *state;
	int fd[PEERS], late;
	json_t *o;

	for (int i = 0; i < PEERS; i++) {
		fd[i] = dial(f->path);
		assert_int_not_equal(fd[i], -1);
		run_main(f);
	}
	late = dial(f->path);
	put_text(late, "{\"cmd\":\"show\",\"what\":\"nodes\"}\n");
	for (int i = 0; i < 10; i++)
		run_main(f);
	assert_int_equal(recv(late, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	close(fd[0]);
	o = get_answer(f, late);
	assert_text(o, "nodes.0.name", "n1");
	json_decref(o);
	for (int i = 1; i < PEERS; i++)
		close(fd[i]);
}

/* The fixture ends while a question is under way: with its answer already in the mailbox. */
/* The bytes that have come; SIZE_MAX: it was closed. */
static size_t
get_some(struct fixture *f, int fd, char *dst, size_t room)
{
	ssize_t n;

	for (int i = 0; i < 20; i++)
		run_main(f);
	n = recv(fd, dst, room - 1, MSG_DONTWAIT);
	dst[n > 0 ? n : 0] = '\0';
	return n == 0 ? SIZE_MAX : n == -1 ? 0 : (size_t)n;
}

/* Who waits for the end of smbgate has a second line, and is closed with it. */
static void
test_to_the_end(void **state)
{
	static const char stop[] = "{\"cmd\":\"stop\",\"drain_ms\":2000,\"wait\":true}\n";
	struct fixture *f = *state;
	int fd[5], n = sizeof(fd) / sizeof(fd[0]);
	char text[256];

	for (int i = 0; i < n; i++) {
		fd[i] = dial(f->path);
		put_text(fd[i], stop);
		assert_in_range(get_some(f, fd[i], text, sizeof(text)), 1, sizeof(text));
		assert_non_null(strstr(text, "\"drain_s\":2"));
	}
	assert_int_equal(f->leave_ms, 2000);
	/* So many may wait; the last one has had its answer. */
	for (int i = 0; i < n; i++)
		assert_int_equal(get_some(f, fd[i], text, sizeof(text)), i < n - 1 ? 0 : SIZE_MAX);
	/* One does not wait any longer. */
	close(fd[0]);
	ctl_over(f->ctl, json_pack("{s:b}", "stopped", 1));
	for (int i = 1; i < n - 1; i++) {
		assert_in_range(get_some(f, fd[i], text, sizeof(text)), 1, sizeof(text));
		assert_string_equal(text, "{\"stopped\":true}\n");
		assert_int_equal(get_some(f, fd[i], text, sizeof(text)), 0);
	}
	/* Told once. */
	ctl_over(f->ctl, json_pack("{s:b}", "stopped", 1));
	assert_int_equal(get_some(f, fd[1], text, sizeof(text)), 0);
	ctl_free(&f->ctl);
	for (int i = 1; i < n; i++) {
		assert_int_equal(get_some(f, fd[i], text, sizeof(text)), SIZE_MAX);
		close(fd[i]);
	}
}

/* A scribe that has something else to do. */
struct busy {
	struct scribe_job job;		/* the first member */
	sem_t begun, go_on;
};

static void
busy_work(struct scribe_job *j)
{
	struct busy *b = (struct busy *)j;

	sem_post(&b->begun);
	while (sem_wait(&b->go_on) == -1)
		;
}

static void
busy_done(struct scribe_job *j, bool dropped)
{
	(void)j;
	assert_true(dropped);
}

#define LOOKERS 8

/*
 * Whoever only looks keeps nobody waiting who changes something; and what lookers who have gone
 * have asked for is kept no longer.
 */
static void
test_lookers(void **state)
{
	struct busy busy = { .job = { .work = busy_work, .done = busy_done } };
	struct fixture *f = *state;
	const unsigned refs = f->status.policy->refs;
	struct scribe *scribe, *clerk;
	int fd[LOOKERS];
	json_t *o;

	f->env.scribe = scribe = scribe_new(f->mailbox);
	f->env.clerk = clerk = scribe_new(f->mailbox);
	sem_init(&busy.begun, 0, 0);
	sem_init(&busy.go_on, 0, 0);
	assert_int_equal(scribe_start(scribe), 0);
	assert_int_equal(scribe_start(clerk), 0);
	assert_true(scribe_ask(scribe, &busy.job));
	while (sem_wait(&busy.begun) == -1)
		;
	for (int i = 0; i < LOOKERS; i++) {
		fd[i] = dial(f->path);
		put_text(fd[i], "{\"cmd\":\"show\",\"what\":\"sessions\"}\n");
		run_main(f);
		run_main(f);
	}
	assert_int_equal(f->status.policy->refs, refs + LOOKERS);
	assert_error(ask(f, "{\"cmd\":\"kill\",\"who\":\"nobody\"}\n"));
	o = ask(f, "{\"cmd\":\"reload\"}\n");
	assert_number(o, "generation", 8);
	json_decref(o);
	ctl_free(&f->ctl);
	assert_int_equal(f->status.policy->refs, refs);
	for (int i = 0; i < LOOKERS; i++)
		close(fd[i]);
	sem_post(&busy.go_on);
	scribe_free(&scribe);
	scribe_free(&clerk);
	sem_destroy(&busy.begun);
	sem_destroy(&busy.go_on);
}

/* While a request is carried out, another process takes over. */
static void
test_retired(void **state)
{
	static const char elsewhere[] = "{\"error\":\"" CTL_ELSEWHERE "\"}\n";
	struct fixture *f = *state;
	int gathers = dial(f->path), early = dial(f->path), stops = dial(f->path), late;
	char text[256];

	f->taken = true;
	put_text(gathers, "{\"cmd\":\"show\",\"what\":\"clients\"}\n");
	assert_int_equal(get_some(f, gathers, text, sizeof(text)), 0);
	put_text(stops, "{\"cmd\":\"stop\",\"wait\":true}\n");
	assert_in_range(get_some(f, stops, text, sizeof(text)), 1, sizeof(text));
	assert_string_equal(text, elsewhere);
	assert_in_range(get_some(f, gathers, text, sizeof(text)), 1, sizeof(text));
	assert_string_equal(text, elsewhere);
	put_text(early, "{\"cmd\":\"reload\"}\n");
	assert_in_range(get_some(f, early, text, sizeof(text)), 1, sizeof(text));
	assert_string_equal(text, elsewhere);
	/* It waits for the other process. */
	late = dial(f->path);
	put_text(late, "{\"cmd\":\"stop\"}\n");
	assert_int_equal(get_some(f, late, text, sizeof(text)), 0);
	close(gathers);
	close(early);
	close(stops);
	close(late);
	/* The list of connections that nobody wants any more. */
	run_worker(f);
	run_main(f);
}

static void
test_shutdown(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f->path);

	put_text(fd, "{\"cmd\":\"show\",\"what\":\"clients\"}\n");
	run_main(f);
	run_main(f);
	run_worker(f);
	ctl_free(&f->ctl);
	close(fd);
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
		cmocka_unit_test_setup_teardown(test_bind_new, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_stale, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_live, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_refused, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_but_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test(test_text),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
