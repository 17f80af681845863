/* gate_take.c: smbgate goes on for another one, and is gone on for */
#include "config.h"

#include "daemon/gate.h"

#include "base/log.h"
#include "daemon/ctl.h"
#include "daemon/drainer.h"
#include "daemon/errands.h"
#include "daemon/gate_priv.h"
#include "daemon/handing.h"
#include "daemon/http.h"
#include "daemon/service.h"
#include "daemon/takeover.h"
#include "policy/errlist.h"

#include <event2/event.h>

/* So long those who have asked this process something may read it when another one serves. */
#define TOLD_US 100000

static bool
leaving(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	return drainer_leaving(g->drainer) || g->handed;
}

static void
ctl_told_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	ctl_free(&g->ctl);
	http_free(&g->http);
}

/* Another one has the control socket, and all that is seen of smbgate. */
static void
handed_cb(void *arg)
{
	/* Who has asked is to have the answer; one of them may have brought this about. */
	const struct timeval told = { 0, TOLD_US };
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	g->handed = true;
	ctl_retire(g->ctl);
	if (event_base_once(g->base, -1, EV_TIMEOUT, ctl_told_cb, g, &told) == -1)
		log_error("out of memory: the control socket is open until this process ends");
	if (g->http != NULL)
		http_retire(g->http);
}

static void
order_cb(void *arg, const char *request, size_t n)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	errands_run(g->errands, request, n);
}

static void
left_cb(void *arg)
{
	/* Where it has just been handed over, some are told yet. */
	const struct timeval told = { 0, TOLD_US };
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (g->ctl == NULL || event_base_loopexit(g->base, &told) == -1)
		event_base_loopbreak(g->base);
}

int
gate_hand_over(struct gate *g)
{
	struct gate_sockets *s = g->sockets;
	const struct handing_env env = {
		.ctl = &g->ctl_env,
		.conf = g->conf,
		.listening = s->listening,
		.nlistening = s->nlistening,
		.control = s->control,
		.http = s->http,
		.leaving = leaving,
		.handed = handed_cb,
		.order = order_cb,
		.left = left_cb,
		.arg = g,
	};

	g->handing = handing_new(&env, s->successors);
	s->successors = -1;
	return g->handing == NULL ? -1 : 0;
}

int
gate_serve(struct gate *g)
{
	struct gate_sockets *s = g->sockets;
	const int control = s->control, http = s->http;

	g->serving = true;
	g->ctl = ctl_new(&g->ctl_env, control);
	if (http != -1)
		g->http = http_new(&g->ctl_env, &s->process, http);
	if (g->ctl == NULL || (http != -1 && g->http == NULL) || gate_hand_over(g) == -1) {
		log_error("out of memory");
		return -1;
	}
	for (size_t i = 0; i < g->nworkers; i++)
		worker_listen(g->workers[i], true);
	g->ready(g->ready_arg);
	service_ready(g->service);
	return 0;
}

static void
reloaded_cb(void *arg)
{
	struct errlist e = { .n = 0 };
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	gate_reload(g, &e);
	errlist_fini(&e);
}

static void
done_cb(void *arg, bool good, bool reloaded)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (good && reloaded)
		reloaded_cb(g);
	else if (good)
		/* Of drains and homes that have come. */
		gate_rehome(g);
	if (good && gate_serve(g) == 0)
		return;
	g->failed = true;
	event_base_loopbreak(g->base);
}

static void
gone_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	handing_gone(g->handing);
}

int
gate_take_over(struct gate *g)
{
	const struct takeover_env env = {
		.ctl = &g->ctl_env,
		.done = done_cb,
		.reloaded = reloaded_cb,
		.gone = gone_cb,
		.arg = g,
	};

	return takeover_go(g->takeover, &env);
}
