/* ctl_env.h: what the control socket can show, and what it can have done */
#ifndef DAEMON_CTL_ENV_H
#define DAEMON_CTL_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct conf;
struct connlist;
struct drainer;
struct errlist;
struct event_base;
struct guard;
struct keeper;
struct keywatch;
struct lasts;
struct letgo;
struct limits;
struct loglevel;
struct mailbox;
struct mover;
struct node;
struct nodes;
struct policy;
struct refused;
struct scribe;
struct secret;
struct sesstab;
struct shared;
struct stand;
struct state;
struct stats;
struct takeover;
struct tlv_out;
struct worker;

/* What a reload changes. */
struct ctl_status {
	struct policy *policy;		/* in force */
	uint64_t policy_since_ms;
	uint64_t reloads, reloads_failed;
	bool last_reload_ok;		/* the start counts as one */
	time_t last_reload;
};

/* Everything is borrowed, and belongs to the thread that runs base, but what the workers share. */
struct ctl_env {
	struct event_base *base;
	struct mailbox *mailbox;	/* the main thread's */
	struct worker *const *workers;
	size_t nworkers;
	struct connlist *connlist;
	struct nodes *nodes;
	struct sesstab *sessions;
	struct limits *limits;
	struct refused *refused;	/* NULL: nobody keeps them */
	struct state *claims;
	struct lasts *lasts;
	/* Who makes long answers, and who does what operators wait for; NULL: the main thread. */
	struct scribe *scribe, *clerk;
	struct shared *shared;		/* NULL: the map of claims is in memory */
	const struct secret *secret;	/* by which clients are placed */
	struct stats *stats;		/* the main thread's */
	struct keeper *keeper;		/* the same */
	const struct guard *guard;	/* NULL: there is no keytab */
	const struct keywatch *keywatch;
	const struct ctl_status *status;
	const struct conf *conf;
	struct takeover *takeover;	/* NULL: of nobody */
	uint64_t started_ms;
	uint64_t *accepted_before;	/* by each listener, by earlier processes; NULL: none */
	struct drainer *drainer;
	struct letgo *letgo;
	struct mover *mover;
	struct loglevel *loglevel;

	void *arg;			/* of these: */
	/* As gate_reload(). */
	int (*reload)(void *arg, struct errlist *e);
	void (*drain)(void *arg, struct node *n, const struct stand *s);
	/*
	 * smbgate ends: without a deadline at once, else once its clients have gone. False: another
	 * process has just taken over, and it is that one which is to be asked.
	 */
	bool (*leave)(void *arg, const struct stand *s);
	/* Connections go to another process now, and some are not found. NULL: they never do. */
	bool (*giving)(void *arg);
	/*
	 * The same, and that one has been told all that was ordered here, and is not told more: who
	 * orders something now would have it lost. NULL: never.
	 */
	bool (*told)(void *arg);
	/*
	 * Where clients belong, as all proxies know, from one process to the next. As homes_write()
	 * and homes_read(); NULL: nobody needs to know.
	 */
	void (*write_homes)(void *arg, struct tlv_out *o);
	int (*read_homes)(void *arg, const void *record, size_t len);
};

static inline bool
ctl_too_late(const struct ctl_env *env)
{
	return env->told != NULL && env->told(env->arg);
}

#endif
