/* gate.h: the whole of a running smbgate: start, reload, stop */
#ifndef DAEMON_GATE_H
#define DAEMON_GATE_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct gate;
struct guard;
struct policy;
struct secret;

/*
 * What is made before privileges are dropped: listening sockets, nworkers for each listener, and
 * the guard of the keytab; and what may be done without them.
 */
struct gate_sockets {
	unsigned nworkers;
	unsigned places;		/* clients that there are descriptors for */
	struct guard *guard;		/* NULL: there is no keytab */
	bool transparent;		/* may dial from addresses that are not this machine's */
	int control;			/* listening unix socket */
	int *fds;			/* [worker * nlisten + listener] */
};

/* 0, or -1: the reason is logged. The caller frees s->fds in both cases. */
int gate_bind(struct gate_sockets *s, const struct conf *conf) __attribute__((warn_unused_result));

/*
 * Takes over the descriptors and the reference to the policy; starts the workers. conf, secret,
 * the guard and the list s itself are borrowed. NULL: the reason is logged.
 */
struct gate *gate_new(const struct conf *conf, struct policy *policy, const struct secret *secret,
    struct gate_sockets *s);
/*
 * Runs until SIGTERM or SIGINT, which the caller has blocked together with SIGHUP: they are
 * unblocked here. ready() is called once when everything serves.
 */
void gate_run(struct gate *g, void (*ready)(void *arg), void *arg);
void gate_free(struct gate **g);

/* Warnings about a pair of files that is valid, but says something that cannot be meant. */
void gate_warn(const struct conf *conf, const struct policy *p);

#endif
