/* describe.h: the connections of a worker as people see them, a few in each turn of its loop */
#ifndef PROXY_DESCRIBE_H
#define PROXY_DESCRIBE_H

#include <stddef.h>

struct conn_env;
struct conn_info;
struct filter;

typedef void (*described_f)(void *arg, struct conn_info *list, size_t n);

/*
 * done(arg, list, n) runs on the worker's loop, at once or later, with every connection that was
 * there all the time; the list is the callee's, to be freed with free(). NULL: memory is out.
 * f is borrowed until then; NULL: all are wanted. Others are left out, but that what is said of a
 * client is said of all its connections: where f->clients is set, only those on another node are.
 */
void describe_start(struct conn_env *env, const struct filter *f, described_f done, void *arg);
/* What is under way is dropped: done is not called. */
void describe_drop(struct conn_env *env);

#endif
