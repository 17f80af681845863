/* gate_take.c: smbgate goes on for another one, and is gone on for */
#include "config.h"

#include "daemon/gate.h"

#include "base/log.h"
#include "daemon/ctl.h"
#include "daemon/drainer.h"
#include "daemon/gate_priv.h"
#include "daemon/handing.h"
#include "daemon/http.h"
#include "daemon/service.h"
#include "daemon/takeover.h"
#include "state/state.h"

#include <stdlib.h>

#include <event2/event.h>

/* A share in the claim of a client that the other smbgate still has connections of. */
struct gate_kept {
	struct gate_kept *next;
	struct state_hold *hold;
};

void
gate_kept_free(struct gate *g)
{
	struct gate_kept *k;

	while ((k = g->kept) != NULL) {
		g->kept = k->next;
		state_release(g->state, &k->hold, g->status.policy->pin_linger);
		free(k);
	}
}

static bool
leaving(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	return drainer_leaving(g->drainer) || g->handed;
}

/* Another one has the control socket, and all that is seen of smbgate. */
static void
handed_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	g->handed = true;
	ctl_free(&g->ctl);
	http_free(&g->http);
}

static void
left_cb(void *arg)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
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
kept_cb(void *arg, const struct state_claim *c)
{
	(void)arg;
	(void)c;
}

/* What lingers is let go of at once, and lingers on. */
static void
claim_cb(void *arg, const struct takemsg *m)
{
	struct gate *g = arg;
	struct gate_kept *k = calloc(1, sizeof(*k));

	MAGIC_CHECK(g, GATE_MAGIC);
	if (k == NULL)
		return;
	state_claim(g->state, &m->key, m->node, m->node, kept_cb, NULL, &k->hold);
	if (k->hold != NULL && (m->firm || !m->live))
		state_firm(g->state, k->hold, g->status.policy->pin_linger);
	if (!m->live)
		state_release(g->state, &k->hold, (unsigned)m->left_ms);
	if (k->hold == NULL) {
		free(k);
		return;
	}
	k->next = g->kept;
	g->kept = k;
}

static void
done_cb(void *arg, bool good)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
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
	gate_kept_free(g);
}

int
gate_take_over(struct gate *g)
{
	const struct takeover_env env = {
		.ctl = &g->ctl_env,
		.done = done_cb,
		.claim = claim_cb,
		.gone = gone_cb,
		.arg = g,
	};

	return takeover_go(g->takeover, &env);
}
