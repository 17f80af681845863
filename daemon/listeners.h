/* listeners.h: is a node's address one of smbgate's own listeners? */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

struct addr;
struct addrport;
struct conf;
struct errlist;
struct nodes;
struct policy;

/*
 * Pure. The listener that takes connections to that address, by its index, or -1: one has that very
 * address, or all addresses with that port, and the address is among those of this machine (own).
 */
int listeners_find(const struct conf *conf, const struct addrport *a, const struct addr *own,
    size_t n);

/* With this machine's addresses as they are now: adds an error for each such node of the policy. */
void listeners_check(const struct conf *conf, const struct policy *p, struct errlist *e);
/* The running nodes that are such are never used, until a probe gets an answer: main thread. */
void listeners_mark(const struct conf *conf, const struct policy *p, struct nodes *nodes);

#endif
