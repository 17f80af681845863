/* minute.c: what turns clients away, said once a minute in place of a line for each of them */
#include "config.h"

#include "daemon/minute.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/worker.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#define PERIOD_MS 60000
/* Of a list of nodes. */
#define NODES_TEXT 512

#define MINUTE_MAGIC 0x60606060u

/* One thing that is said. */
struct said {
	uint64_t count;			/* when it was said last */
	uint64_t at_ms;			/* 0: never */
};

struct minute {
	MAGIC_MEMBER
	const struct ctl_env *env;
	struct event *tick;
	struct said no_node, no_files;
};

/* Is there something to say? How many times it has happened since it was said last. */
static uint64_t
said_due(struct said *s, uint64_t count, uint64_t now)
{
	uint64_t more = count - s->count;

	if (more == 0 || (s->at_ms != 0 && now - s->at_ms < PERIOD_MS))
		return 0;
	s->count = count;
	s->at_ms = now;
	return more;
}

/* "n1 is down, n2 is drain" */
static void
list_nodes(struct nodes *nodes, char text[NODES_TEXT])
{
	struct node *all[POL_NODES_MAX];
	size_t n = nodes_all(nodes, all, POL_NODES_MAX), len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (all[i]->listed && len < NODES_TEXT)
			len += (size_t)snprintf(text + len, NODES_TEXT - len, "%s%s is %s",
			    len > 0 ? ", " : "", all[i]->name, node_state(all[i]));
		node_unref(&all[i]);
	}
}

static void
say_no_node(struct minute *m, const struct stats *sum, uint64_t now)
{
	const struct policy *p = m->env->status->policy;
	uint64_t so_far = sum->count[STAT_no_node_held] + sum->closed[CLOSE_NO_NODE];
	uint64_t n = said_due(&m->no_node, so_far, now);
	char nodes[NODES_TEXT];

	if (n == 0)
		return;
	list_nodes(m->env->nodes, nodes);
	log_warn("no node takes clients: %s %" PRIu64 " times since this was said last; %s",
	    p->no_node == POL_NO_NODE_HOLD ? "held or closed" : "reset", n, nodes);
}

static void
say_no_files(struct minute *m, const struct stats *sum, uint64_t now)
{
	uint64_t n = said_due(&m->no_files, sum->closed[CLOSE_NO_FILES], now);

	if (n == 0)
		return;
	log_warn("out of descriptors for clients: %" PRIu64
	         " connections refused since this was said "
	         "last; %u of %u places are taken; LimitNOFILE (systemd) or ulimit -n gives more",
	    n, limits_taken(m->env->limits), limits_places(m->env->limits));
}

static void
minute_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct minute *m = arg;
	struct stats sum = { .count = { 0 } };
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	MAGIC_CHECK(m, MINUTE_MAGIC);
	/* Each second: the log's reader may be back while there is nothing else to say. */
	log_catch_up();
	for (size_t i = 0; i < m->env->nworkers; i++)
		stats_sum(&sum, &m->env->workers[i]->stats);
	say_no_node(m, &sum, now);
	say_no_files(m, &sum, now);
}

struct minute *
minute_new(const struct ctl_env *env)
{
	const struct timeval second = { 1, 0 };
	struct minute *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	MAGIC_SET(m, MINUTE_MAGIC);
	m->env = env;
	m->tick = event_new(env->base, -1, EV_PERSIST, minute_tick_cb, m);
	if (m->tick == NULL || event_add(m->tick, &second) == -1)
		minute_free(&m);
	return m;
}

void
minute_free(struct minute **mp)
{
	struct minute *m = *mp;

	if (m == NULL)
		return;
	if (m->tick != NULL)
		event_free(m->tick);
	MAGIC_CLEAR(m);
	free(m);
	*mp = NULL;
}
