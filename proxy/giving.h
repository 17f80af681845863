/* giving.h: a worker's connections go to the smbgate that goes on, one by one */
#ifndef PROXY_GIVING_H
#define PROXY_GIVING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn_env;
struct giving;

/* Longest reason, with NUL. */
#define GIVING_WHY 64

struct giving_report {
	bool passed;		/* every connection was offered once */
	bool broken;		/* nothing is given any more: the other process is gone, or hangs */
	size_t left;		/* connections that are still here */
	uint64_t asked;		/* of giving_say(), the last time; 0: never */
	char why[GIVING_WHY];	/* of one of them; "": not known */
};

/* On the worker's loop. */
typedef void (*giving_f)(void *arg, const struct giving_report *r);

/*
 * Each of n SEQPACKET sockets (taken over) leads to a taking.h. Connections that cannot go now are
 * offered again every few milliseconds, then less often. NULL: memory is out; the sockets are
 * closed.
 */
struct giving *giving_new(struct conn_env *env, const int *fds, size_t n, giving_f report,
    void *arg);
/* Reports at once, with that number. */
void giving_say(struct giving *g, uint64_t asked);
/* What is not acknowledged by now stays here, and goes on. */
void giving_free(struct giving **g);

#endif
