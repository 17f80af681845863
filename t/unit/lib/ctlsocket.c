/* ctlsocket.c: a control socket with all that it needs, and clients that ask at it, for tests */
#include "config.h"

#include "t/unit/lib/ctlsocket.h"

#include "base/clock.h"
#include "daemon/connlist.h"
#include "daemon/ctl.h"
#include "daemon/stand.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/mailbox.h"
#include "state/local.h"
#include "state/state.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

int
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

int
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

int
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

int
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

int
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

void
run_main(struct fixture *f)
{
	event_base_loop(f->env.base, EVLOOP_NONBLOCK);
}

void
run_worker(struct fixture *f)
{
	event_base_loop(f->worker->base, EVLOOP_NONBLOCK);
}

void
put_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

json_t *
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

json_t *
ask(struct fixture *f, const char *request)
{
	int fd = dial(f->path);

	assert_int_not_equal(fd, -1);
	put_text(fd, request);
	return get_answer(f, fd);
}

void
assert_error(json_t *o)
{
	assert_non_null(o);
	assert_true(json_is_string(json_object_get(o, "error")));
	json_decref(o);
}

json_t *
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
