/* daemon-ctl.c: the control socket: its name, its requests, clients that misbehave */
#include "config.h"

#include "daemon/connlist.h"
#include "daemon/ctl.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/scribe.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "t/unit/lib/ctlsocket.h"

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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

/* As many as are served at once. */
#define PEERS 16

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

/*
 * No room is left from the beginning of a long answer on: who reads it, if slowly, has all of it.
 * The others wait for a worker.
 */
static void
test_crowded_reader(void **state)
{
	const struct timespec pause = { 0, 50000000 };
	struct fixture *f = *state;
	static char text[128 << 10];
	int fd[PEERS];
	size_t got = 0;
	ssize_t n = -1;

	f->status.policy->node_file = malloc((2 << 20) + 1);
	assert_non_null(f->status.policy->node_file);
	memset(f->status.policy->node_file, '#', 2 << 20);
	f->status.policy->node_file[2 << 20] = '\0';
	for (int i = 0; i < PEERS; i++) {
		fd[i] = dial(f->path);
		put_text(fd[i], i > 0 ? "{\"cmd\":\"show\",\"what\":\"clients\"}\n"
		                      : "{\"cmd\":\"sho");
		run_main(f);
		run_main(f);
	}
	put_text(fd[0], "w\",\"what\":\"policy\"}\n");
	for (int i = 0; i < 100 && n != 0; i++) {
		run_main(f);
		n = recv(fd[0], text, sizeof(text), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		nanosleep(&pause, NULL);
	}
	assert_int_equal(n, 0);
	assert_in_range(got, 2 << 20, 3 << 20);
	for (int i = 0; i < PEERS; i++)
		close(fd[i]);
	run_worker(f);
	run_main(f);
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
	static const char again[] = "{\"error\":\"" CTL_ELSEWHERE "\",\"again\":true}\n";
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
	assert_string_equal(text, again);
	put_text(early, "{\"cmd\":\"reload\"}\n");
	assert_in_range(get_some(f, early, text, sizeof(text)), 1, sizeof(text));
	assert_string_equal(text, again);
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

/* The fixture ends while a question is under way: with its answer already in the mailbox. */
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bind_new, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_stale, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_live, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_bind_refused, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_but_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowded_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
