/* ctl.c: the control socket: one JSON request a connection, one JSON answer */
#include "config.h"

#include "daemon/ctl.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/gate.h"
#include "daemon/json.h"
#include "daemon/report.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/limits.h"
#include "proxy/mailbox.h"
#include "state/keeper.h"
#include "stats/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <jansson.h>

/*
 *	REQUEST ──► GATHER ──► ANSWER ──► LINGER ──► freed
 *	   └───────────────────►
 *
 * What only a worker knows (its connections) is collected by a gather, which the peer that asked
 * may outlive or not: each points to the other and whoever goes first clears that.
 */

/* Further clients wait in the listen queue. */
#define PEERS_MAX 16
#define REQUEST_MAX 4096

/* Absolute, from the moment that the state is entered. */
#define REQUEST_S 5
#define GATHER_S 10
#define ANSWER_S 30
#define LINGER_S 1

enum peer_state {
	PEER_REQUEST,
	PEER_GATHER,
	PEER_ANSWER,
	PEER_LINGER,	/* all is said: a close now could cost the client what it has not read */
};

struct peer {
	struct ctl *ctl;
	enum peer_state state;
	struct bufferevent *bev;
	struct event *deadline;
	struct gather *gather;
	bool eof;		/* it says no more; it may still listen */
	LIST_ENTRY(peer) entry;
};

/* The connections of one worker: filled in on its thread, handed over by the gate's mailbox. */
struct part {
	struct gather *gather;
	struct conn_info *list;
	size_t n;
};

struct gather {
	struct ctl *ctl;
	struct peer *peer;	/* NULL: it went away */
	json_t *(*report)(struct ctl *ctl, const struct conn_info *conns, size_t n);
	size_t missing;
	LIST_ENTRY(gather) entry;
	size_t nparts;
	struct part parts[];
};

struct ctl {
	struct gate *gate;
	int fd;
	struct event *accept;
	struct event *retry;	/* when accepting failed for want of descriptors */
	size_t npeers, ngathers;
	LIST_HEAD(, peer) peers;
	LIST_HEAD(, gather) gathers;
};

static int
make_parent(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	memcpy(dir, path, strlen(path) + 1);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	return mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

/* Makes room for the name: -1 when something lives there, with the reason logged. */
static int
clear_stale(const char *path, const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, err;

	if (lstat(path, &st) == -1) {
		if (errno == ENOENT)
			return 0;
		log_error("control \"%s\": %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_error("control \"%s\": exists and is no socket", path);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1) {
		log_error("control \"%s\": %s", path, strerror(errno));
		return -1;
	}
	err = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ? 0 : errno;
	close(fd);
	/* EAGAIN: its queue is full, so it lives. */
	if (err == 0 || err == EAGAIN) {
		log_error("control \"%s\": another process answers there", path);
		return -1;
	}
	if (err != ECONNREFUSED || (unlink(path) == -1 && errno != ENOENT)) {
		log_error("control \"%s\": cannot replace it: %s", path,
		    strerror(err != ECONNREFUSED ? err : errno));
		return -1;
	}
	return 0;
}

int
ctl_bind(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (path[0] == '\0' || strlen(path) >= sizeof(sun.sun_path)) {
		log_error("control \"%s\": a socket's path has 1 to %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (make_parent(path) == -1) {
		log_error("control \"%s\": cannot make its directory: %s", path, strerror(errno));
		return -1;
	}
	if (clear_stale(path, &sun) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Linux makes the name with the mode of the socket: there is no moment of any other mode. */
	if (fd == -1 || fchmod(fd, 0600) == -1 ||
	    bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1 || listen(fd, 64) == -1) {
		log_error("control \"%s\": %s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	return fd;
}

static void
peer_free(struct peer *p)
{
	struct ctl *ctl = p->ctl;

	if (p->gather != NULL)
		p->gather->peer = NULL;
	LIST_REMOVE(p, entry);
	if (p->deadline != NULL)
		event_free(p->deadline);
	if (p->bev != NULL)
		bufferevent_free(p->bev);
	free(p);
	if (ctl->npeers-- == PEERS_MAX)
		event_add(ctl->accept, NULL);
}

static void
enter(struct peer *p, enum peer_state state, int seconds)
{
	const struct timeval tv = { seconds, 0 };

	p->state = state;
	event_add(p->deadline, &tv);
}

/* Takes over the answer; NULL is said to be what it is, a lack of memory. */
static void
answer(struct peer *p, json_t *o)
{
	struct evbuffer *out = bufferevent_get_output(p->bev);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	enter(p, PEER_ANSWER, ANSWER_S);
	if (text != NULL)
		evbuffer_add(out, text, strlen(text));
	else
		evbuffer_add_printf(out, "{\"error\":\"out of memory\"}");
	evbuffer_add(out, "\n", 1);
	free(text);
}

static json_t *
error_object(const char *text)
{
	json_t *o = json_object();

	json_object_set_new(o, "error", jtext(text));
	return o;
}

static void
answer_error(struct peer *p, const char *text)
{
	answer(p, error_object(text));
}

static void
gather_free(struct gather *g)
{
	LIST_REMOVE(g, entry);
	g->ctl->ngathers--;
	if (g->peer != NULL)
		g->peer->gather = NULL;
	for (size_t i = 0; i < g->nparts; i++)
		free(g->parts[i].list);
	free(g);
}

/* All parts as one list, for the caller to free; NULL when memory is out, here or at a worker. */
static struct conn_info *
gather_merge(const struct gather *g, size_t *n_r)
{
	struct conn_info *all;
	size_t n = 0;

	for (size_t i = 0; i < g->nparts; i++) {
		if (g->parts[i].list == NULL)
			return NULL;
		n += g->parts[i].n;
	}
	all = calloc(n + 1, sizeof(*all));
	*n_r = 0;
	for (size_t i = 0; all != NULL && i < g->nparts; i++) {
		memcpy(all + *n_r, g->parts[i].list, g->parts[i].n * sizeof(*all));
		*n_r += g->parts[i].n;
	}
	return all;
}

/* On the main thread. */
static void
part_arrived(void *arg)
{
	struct part *part = arg;
	struct gather *g = part->gather;
	struct conn_info *all;
	struct peer *p = g->peer;
	size_t n;

	if (--g->missing > 0)
		return;
	if (p != NULL) {
		all = gather_merge(g, &n);
		answer(p, all == NULL ? NULL : g->report(g->ctl, all, n));
		free(all);
	}
	gather_free(g);
}

/* On the worker's thread. */
static void
part_done(void *arg, struct conn_info *list, size_t n)
{
	struct part *part = arg;

	part->list = list;
	part->n = n;
	/* If not even this can be had, the peer's deadline ends the wait, and ctl_free() the rest. */
	if (mailbox_post(part->gather->ctl->gate->mailbox, part_arrived, part) == -1)
		log_error("out of memory: a question of the control socket is lost");
}

static void
gather(struct peer *p,
    json_t *(*report)(struct ctl *ctl, const struct conn_info *conns, size_t n))
{
	struct ctl *ctl = p->ctl;
	size_t n = ctl->gate->nworkers;
	struct gather *g;

	/* Those of clients that went away count too, or they could pile up before a slow worker. */
	if (ctl->ngathers >= PEERS_MAX) {
		answer_error(p, "the workers owe answers to earlier questions");
		return;
	}
	g = calloc(1, sizeof(*g) + n * sizeof(g->parts[0]));
	if (g == NULL) {
		answer(p, NULL);
		return;
	}
	g->ctl = ctl;
	g->peer = p;
	g->report = report;
	g->missing = g->nparts = n;
	LIST_INSERT_HEAD(&ctl->gathers, g, entry);
	ctl->ngathers++;
	p->gather = g;
	enter(p, PEER_GATHER, GATHER_S);
	for (size_t i = 0; i < n; i++) {
		g->parts[i].gather = g;
		worker_describe(ctl->gate->workers[i], part_done, &g->parts[i]);
	}
}

static json_t *
clients_report(struct ctl *ctl, const struct conn_info *conns, size_t n)
{
	struct gate *gate = ctl->gate;

	return report_clients(gate->state, gate->parts.sessions, conns, n, clock_ms());
}

static json_t *
stats_report(struct ctl *ctl, const struct conn_info *conns, size_t n)
{
	struct gate *gate = ctl->gate;
	struct stats sum = { .count = { 0 } };
	struct report_gauges now = {
		.connections = n,
		.unauthenticated = limits_unauthenticated(gate->parts.limits),
		.sessions_now = report_count_sessions(gate->parts.sessions),
		.reloads = gate->reloads_good,
		.reloads_failed = gate->reloads_bad,
		.policy_generation = gate->policy->generation,
		.workers = gate->nworkers,
		.uptime_s = (clock_ms() - gate->started_ms) / 1000,
		.state_degraded = report_degraded(gate->parts.shared),
	};

	(void)conns;
	for (size_t i = 0; i < gate->nworkers; i++)
		stats_sum(&sum, &gate->workers[i]->stats);
	return report_stats(&sum, &now, false);
}

static void
cmd_show(struct peer *p, const json_t *request)
{
	struct gate *g = p->ctl->gate;
	const char *what = json_string_value(json_object_get(request, "what"));

	if (what == NULL)
		answer_error(p, "show what? nodes, clients, sessions, policy, state or stats");
	else if (strcmp(what, "nodes") == 0)
		answer(p, report_nodes(g->parts.nodes, g->state, clock_ms()));
	else if (strcmp(what, "clients") == 0)
		gather(p, clients_report);
	else if (strcmp(what, "sessions") == 0)
		answer(p, report_sessions(g->parts.sessions, clock_ms()));
	else if (strcmp(what, "policy") == 0)
		answer(p, report_policy(g->policy, g->conf->policy, g->policy_since_ms, clock_ms()));
	else if (strcmp(what, "state") == 0)
		answer(p, report_state(g->parts.shared, g->keeper));
	else if (strcmp(what, "stats") == 0)
		gather(p, stats_report);
	else
		answer_error(p, "cannot show that: nodes, clients, sessions, policy, state or stats");
}

static void
cmd_explain(struct peer *p, const json_t *request)
{
	struct gate *g = p->ctl->gate;
	const char *who = json_string_value(json_object_get(request, "who"));

	if (who == NULL || who[0] == '\0')
		answer_error(p, "explain whom? a client's address or GUID, a session, a user");
	else
		answer(p, report_explain(g->parts.sessions, g->policy, who, clock_ms()));
}

static void
set_drain(struct peer *p, const json_t *request, bool drain)
{
	const char *name = json_string_value(json_object_get(request, "node"));
	struct node *n;
	json_t *o;

	if (name == NULL) {
		answer_error(p, "which node?");
		return;
	}
	n = nodes_find_name(p->ctl->gate->parts.nodes, name);
	if (n == NULL) {
		char text[POL_NAME_MAX + 64];

		snprintf(text, sizeof(text), "there is no node \"%.63s\"", name);
		answer_error(p, text);
		return;
	}
	if (n->drain != drain)
		log_info("node %s: %s by the operator", n->name,
		    drain ? "drained" : "no longer drained");
	n->drain = drain;
	if (p->ctl->gate->keeper != NULL)
		keeper_stand(p->ctl->gate->keeper, n->id, drain);
	gate_rehome(p->ctl->gate);
	o = json_object();
	json_object_set_new(o, "node", jtext(n->name));
	json_object_set_new(o, "draining", json_boolean(drain));
	json_object_set_new(o, "state", json_string(node_state(n)));
	json_object_set_new(o, "connections", json_integer(n->connections));
	node_unref(&n);
	answer(p, o);
}

static void
cmd_drain(struct peer *p, const json_t *request)
{
	set_drain(p, request, true);
}

static void
cmd_undrain(struct peer *p, const json_t *request)
{
	set_drain(p, request, false);
}

static void
cmd_reload(struct peer *p, const json_t *request)
{
	struct gate *g = p->ctl->gate;
	struct errlist e = { .n = 0 };
	json_t *o, *list;

	(void)request;
	if (gate_reload(g, &e) == 0) {
		o = json_object();
		json_object_set_new(o, "reloaded", json_true());
	} else {
		o = error_object("policy.conf has errors; the old policy stays in force");
		list = json_array();
		json_object_set_new(o, "errors", list);
		for (size_t i = 0; i < e.n; i++)
			json_array_append_new(list, jtext(e.text[i]));
		json_object_set_new(o, "errors_total", json_integer((json_int_t)e.total));
	}
	json_object_set_new(o, "generation", json_integer(g->policy->generation));
	errlist_fini(&e);
	answer(p, o);
}

static const struct {
	const char *name;
	void (*run)(struct peer *p, const json_t *request);
} commands[] = {
	{ "show", cmd_show },
	{ "explain", cmd_explain },
	{ "drain", cmd_drain },
	{ "undrain", cmd_undrain },
	{ "reload", cmd_reload },
};

static void
serve(struct peer *p, const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	size_t i;

	for (i = 0; cmd != NULL && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, cmd) == 0)
			break;
	if (!json_is_object(request))
		answer_error(p, "a request is one line with one JSON object");
	else if (cmd == NULL || i == sizeof(commands) / sizeof(commands[0]))
		answer_error(p, "unknown command: show, drain, undrain or reload");
	else
		commands[i].run(p, request);
	json_decref(request);
}

static void
discard_input(struct peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);

	evbuffer_drain(in, evbuffer_get_length(in));
}

static void
read_cb(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len;
	char *line;

	if (p->state == PEER_REQUEST) {
		line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
		if (line == NULL ? evbuffer_get_length(in) >= REQUEST_MAX : len >= REQUEST_MAX)
			answer_error(p, "the request is too long");
		else if (line != NULL)
			serve(p, line, len);
		free(line);
	}
	if (p->state != PEER_REQUEST)
		discard_input(p);
}

/* The output is empty: everything has been said. */
static void
write_cb(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;

	if (p->state != PEER_ANSWER)
		return;
	if (p->eof || shutdown(bufferevent_getfd(bev), SHUT_WR) == -1)
		peer_free(p);
	else
		enter(p, PEER_LINGER, LINGER_S);
}

static void
event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct peer *p = arg;

	if ((what & BEV_EVENT_ERROR) != 0) {
		peer_free(p);
		return;
	}
	/* Nothing more will be asked; an answer that is under way may still be read. */
	p->eof = true;
	switch (p->state) {
	case PEER_REQUEST:
		if (evbuffer_get_length(bufferevent_get_input(bev)) == 0) {
			peer_free(p);
			return;
		}
		answer_error(p, "a request ends with a newline");
		break;
	case PEER_LINGER:
		peer_free(p);
		break;
	case PEER_GATHER:
	case PEER_ANSWER:
		break;
	}
}

static void
deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	switch (p->state) {
	case PEER_REQUEST:
		answer_error(p, "no request came in time");
		break;
	case PEER_GATHER:
		p->gather->peer = NULL;
		p->gather = NULL;
		answer_error(p, "a worker does not answer");
		break;
	case PEER_ANSWER:
	case PEER_LINGER:
		peer_free(p);
		break;
	}
}

/* Takes over fd. */
static void
peer_new(struct ctl *ctl, int fd)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		close(fd);
		return;
	}
	p->ctl = ctl;
	LIST_INSERT_HEAD(&ctl->peers, p, entry);
	if (++ctl->npeers == PEERS_MAX)
		event_del(ctl->accept);
	p->deadline = evtimer_new(ctl->gate->base, deadline_cb, p);
	p->bev = bufferevent_socket_new(ctl->gate->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (p->bev == NULL)
		close(fd);
	if (p->bev == NULL || p->deadline == NULL) {
		peer_free(p);
		return;
	}
	bufferevent_setcb(p->bev, read_cb, write_cb, event_cb, p);
	/* A read never takes more in than a request may have. */
	bufferevent_setwatermark(p->bev, EV_READ, 0, REQUEST_MAX);
	enter(p, PEER_REQUEST, REQUEST_S);
	if (bufferevent_enable(p->bev, EV_READ | EV_WRITE) == -1)
		peer_free(p);
}

static void
accept_cb(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval second = { 1, 0 };
	struct ctl *ctl = arg;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (s != -1) {
		peer_new(ctl, s);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The connection stays in the queue and would wake the loop at once again. */
		event_del(ctl->accept);
		event_add(ctl->retry, &second);
	}
}

static void
retry_cb(evutil_socket_t fd, short what, void *arg)
{
	struct ctl *ctl = arg;

	(void)fd;
	(void)what;
	if (ctl->npeers < PEERS_MAX)
		event_add(ctl->accept, NULL);
}

struct ctl *
ctl_new(struct gate *g, int fd)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (ctl == NULL) {
		close(fd);
		return NULL;
	}
	ctl->gate = g;
	ctl->fd = fd;
	LIST_INIT(&ctl->peers);
	LIST_INIT(&ctl->gathers);
	ctl->accept = event_new(g->base, fd, EV_READ | EV_PERSIST, accept_cb, ctl);
	ctl->retry = evtimer_new(g->base, retry_cb, ctl);
	if (ctl->accept == NULL || ctl->retry == NULL || event_add(ctl->accept, NULL) == -1)
		ctl_free(&ctl);
	return ctl;
}

void
ctl_free(struct ctl **cp)
{
	struct ctl *ctl = *cp;

	if (ctl == NULL)
		return;
	/* No worker runs any more and the mailbox is read no more: nobody else knows the gathers. */
	while (!LIST_EMPTY(&ctl->gathers))
		gather_free(LIST_FIRST(&ctl->gathers));
	while (!LIST_EMPTY(&ctl->peers))
		peer_free(LIST_FIRST(&ctl->peers));
	if (ctl->accept != NULL)
		event_free(ctl->accept);
	if (ctl->retry != NULL)
		event_free(ctl->retry);
	close(ctl->fd);
	free(ctl);
	*cp = NULL;
}
