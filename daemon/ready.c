/* ready.c: does smbgate live, and does it take clients? For those who ask before they send some */
#include "config.h"

#include "daemon/ready.h"

#include "base/clock.h"
#include "daemon/ctl_env.h"
#include "daemon/drainer.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/worker.h"

/* A worker's loop turns once a second, whatever it has to do. */
#define TURN_MS 5000

const char *
ready_live(const struct ctl_env *env)
{
	uint64_t now = clock_ms();

	for (size_t i = 0; i < env->nworkers; i++) {
		uint64_t turned = env->workers[i]->turned_ms;

		if (turned < env->started_ms)
			turned = env->started_ms;
		if (now > turned + TURN_MS)
			return "a worker has not turned for 5 seconds";
	}
	return NULL;
}

const char *
ready_takes(const struct ctl_env *env)
{
	struct node *all[2 * POL_NODES_MAX];
	bool takes = false;
	size_t n;

	if (env->drainer != NULL && drainer_leaving(env->drainer))
		return "smbgate is stopping";
	n = nodes_all(env->nodes, all, 2 * POL_NODES_MAX);
	for (size_t i = 0; i < n; i++) {
		takes |= node_takes_new(all[i]);
		node_unref(&all[i]);
	}
	return takes ? NULL : "no node takes new clients";
}
