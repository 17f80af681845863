/* ctl.h: the control socket: one JSON request a connection, one JSON answer */
#ifndef DAEMON_CTL_H
#define DAEMON_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connlist;
struct ctl;
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

/*
 * All that the control socket can show, and all that it can have done. Everything is borrowed and
 * belongs to the thread that runs base, but what the workers share.
 */
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
	struct keeper *keeper;		/* the same */
	struct stats *stats;		/* the main thread's */
	const struct ctl_status *status;
	const char *policy_path;
	uint64_t started_ms;

	void *arg;			/* of these: */
	/* As gate_reload(). */
	int (*reload)(void *arg, struct errlist *e);
	void (*drain)(void *arg, struct node *n, bool drain);
};

/*
 * Binds a listening unix socket of mode 0600, making its directory if that is missing. A socket
 * that a dead process left behind is replaced; one that answers is not. The descriptor, or -1: the
 * reason is logged.
 */
int ctl_bind(const char *path);

/* Serves the socket on the loop of env, which is borrowed; takes over fd. NULL: out of memory. */
struct ctl *ctl_new(const struct ctl_env *env, int fd);
void ctl_free(struct ctl **c);

#endif
