/* nodewatch.h: the node-file is watched: whoever changes it need not tell smbgate */
#ifndef DAEMON_NODEWATCH_H
#define DAEMON_NODEWATCH_H

struct event_base;
struct nodewatch;
struct policy;

/*
 * changed(arg) is called when the file has another content than the policy in force was made of,
 * and than at the last call; at most once a second, however often it changes. It is watched by way
 * of its folder, so that it may be written, replaced or be a link to one that is. Before the system
 * calls are confined. NULL: out of memory.
 */
struct nodewatch *nodewatch_new(struct event_base *base, void (*changed)(void *arg), void *arg);
void nodewatch_free(struct nodewatch **w);

/* The policy that is in force now; it may name another file, or none. */
void nodewatch_policy(struct nodewatch *w, const struct policy *p);

#endif
