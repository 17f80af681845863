/* gate.h: the whole of a running smbgate: start, reload, stop */
#ifndef DAEMON_GATE_H
#define DAEMON_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/passed.h"
#include "daemon/process.h"

struct conf;
struct errlist;
struct gate;
struct guard;
struct listening;
struct policy;
struct secret;
struct takeover;
struct tls;

/*
 * What is made before privileges are dropped: listening sockets, nworkers for each listener, and
 * the guard of the keytab; and what may be done without them.
 */
struct gate_sockets {
	unsigned nworkers;
	unsigned places;		/* clients that there are descriptors for */
	struct guard *guard;		/* NULL: there is no keytab */
	struct tls *tls;		/* to Redis; NULL: plain */
	bool transparent;		/* may dial from addresses that are not this machine's */
	int control;			/* listening unix socket */
	int successors;			/* the same, of SEQPACKET: handing.h */
	int pid_file;			/* open, to be written once we serve; -1: not */
	struct takeover *takeover;	/* what serves until we do; NULL: nobody does */
	int http;			/* listening; -1: it is not wanted */
	struct passed passed;		/* listeners that the service manager has opened */
	struct process process;		/* to be closed when it stops */
	struct listening *listening;
	size_t nlistening;
};

/* 0, or -1: the reason is logged. The caller frees s->listening. */
int gate_bind(struct gate_sockets *s, const struct conf *conf) __attribute__((warn_unused_result));
/*
 * What of that would fail, to *e; to *w what fails for who this process is. Sockets that a smbgate
 * has which runs with the same control socket are no fault.
 */
void gate_try(const struct conf *conf, struct errlist *e, struct errlist *w);

/*
 * Takes over the descriptors and the reference to the policy; starts the workers. conf, secret,
 * what *s points to and *s itself are borrowed. NULL: the reason is logged.
 */
struct gate *gate_new(const struct conf *conf, struct policy *policy, const struct secret *secret,
    struct gate_sockets *s);
/*
 * Runs until SIGTERM or SIGINT, which the caller has blocked together with SIGHUP: they are
 * unblocked here. begin() is called once before anybody is served, ready() once everything
 * serves. 0; -1: it never did.
 */
int gate_run(struct gate *g, void (*begin)(void *arg), void (*ready)(void *arg), void *arg)
    __attribute__((warn_unused_result));
void gate_free(struct gate **g);
/* Are the sockets in the file system ours, and the pid file? */
bool gate_owns(const struct gate *g);

/* Logs what warnings_find() finds. */
void gate_warn(const struct conf *conf, const struct policy *p);

#endif
