/* warnings.h: what both files may say, and hardly mean */
#ifndef DAEMON_WARNINGS_H
#define DAEMON_WARNINGS_H

struct conf;
struct errlist;
struct policy;

/* Adds them to *w, each with its line: of the files alone, and of this machine's addresses. */
void warnings_find(const struct conf *conf, const struct policy *p, struct errlist *w);

#endif
