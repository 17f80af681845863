/* preflight.h: what a start would meet on this machine, before there is one: smbgate -t */
#ifndef DAEMON_PREFLIGHT_H
#define DAEMON_PREFLIGHT_H

struct conf;
struct errlist;
struct policy;

/* Adds what would fail to *e, and what would not work, though smbgate starts, to *w. */
void preflight(const struct conf *conf, const struct policy *p, struct errlist *e,
    struct errlist *w);

#endif
