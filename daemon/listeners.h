/* listeners.h: is a node's address one of smbgate's own listeners? */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

struct conf;
struct errlist;
struct nodes;
struct policy;

/* With this machine's addresses as they are now: adds an error for each such node of the policy. */
void listeners_check(const struct conf *conf, const struct policy *p, struct errlist *e);
/* The running nodes that are such are never used, until a probe gets an answer: main thread. */
void listeners_mark(const struct conf *conf, const struct policy *p, struct nodes *nodes);

#endif
