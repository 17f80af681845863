/* ctl_env.h: what the control socket can show, and what it can have done */
#ifndef DAEMON_CTL_ENV_H
#define DAEMON_CTL_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connlist;
struct errlist;
struct event_base;
struct keeper;
struct limits;
struct node;
struct nodes;
struct policy;
struct sesstab;
struct shared;
struct state;
struct stats;
struct worker;

/* What a reload changes. */
struct ctl_status {
	struct policy *policy;		/* in force */
	uint64_t policy_since_ms;
	uint64_t reloads, reloads_failed;
};

/* Everything is borrowed, and belongs to the thread that runs base, but what the workers share. */
struct ctl_env {
	struct event_base *base;
	struct worker *const *workers;
	size_t nworkers;
	struct connlist *connlist;
	struct nodes *nodes;
	struct sesstab *sessions;
	struct limits *limits;
	struct state *claims;
	struct shared *shared;		/* NULL: the map of claims is in memory */
	struct stats *stats;		/* the main thread's */
	struct keeper *keeper;		/* the same */
	const struct ctl_status *status;
	const char *policy_path;
	uint64_t started_ms;

	void *arg;			/* of these: */
	/* As gate_reload(). */
	int (*reload)(void *arg, struct errlist *e);
	void (*drain)(void *arg, struct node *n, bool drain);
};

#endif
