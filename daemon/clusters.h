/* clusters.h: which nodes stand in for each other at each listener: checked, and said */
#ifndef DAEMON_CLUSTERS_H
#define DAEMON_CLUSTERS_H

struct conf;
struct errlist;
struct policy;

/* Adds an error for each listener of which nobody could say whose nodes its clients are to get. */
void clusters_check(const struct conf *conf, const struct policy *p, struct errlist *e);
/* Logs what is in force at each listener. */
void clusters_say(const struct conf *conf, const struct policy *p);
/* Adds what is hardly meant. */
void clusters_warn(const struct conf *conf, const struct policy *p, struct errlist *w);

#endif
