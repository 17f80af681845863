/* drainer.h: nodes, and smbgate itself, that an operator drains: who does not notice goes */
#ifndef DAEMON_DRAINER_H
#define DAEMON_DRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/json.h"
#include "daemon/stand.h"

struct clients;
struct connlist;
struct drainer;
struct event_base;
struct keeper;
struct keyhash;
struct letgo;
struct node;
struct rest;
struct scribe;
struct sesstab;

struct drainer_env {
	struct event_base *base;
	struct connlist *connlist;
	struct scribe *scribe;
	struct sesstab *sessions;
	struct letgo *letgo;
	struct keeper *const *keeper;	/* NULL, or of NULL: there are no other proxies */
	const struct keyhash *hash;
	/* A drain of smbgate itself is over: nobody is left. */
	void (*left)(void *arg);
	void *arg;
};

/* On the main thread; all is borrowed. NULL: memory is out. */
struct drainer *drainer_new(const struct drainer_env *env);
void drainer_free(struct drainer **d);

/*
 * The node is drained on these terms, or no longer; age_ms: since that was said. elsewhere: to
 * another proxy.
 *
 * Every half second PARTING_MAX of its clients that have been quiet for as long are let go, and
 * come back to other nodes; no more at once, lest they overwhelm those. At the deadline the others
 * are cut, and each is named in the log.
 */
void drainer_node(struct drainer *d, struct node *n, const struct stand *s, bool elsewhere,
    uint64_t age_ms);
/* The same of all clients, whichever their node is. */
void drainer_leave(struct drainer *d, const struct stand *s);
struct nodes;
struct tlv_out;

/* What operators have said, as one process hands it to the next. */
void drainer_write(struct tlv_out *o, const struct drainer *d, uint64_t now_ms);
/*
 * It holds here as well, on the same terms and from then on, but of nodes that the policy here has
 * not. Other proxies are told by keeper_read_drains(). 0, or -1: a bad record; those before the bad
 * one hold.
 */
int drainer_read(struct drainer *d, struct nodes *nodes, const void *record, size_t len)
    __attribute__((warn_unused_result));

/*
 * By which order it is drained: when that was given, by Redis' clock. The same words once more are
 * another order, with a deadline of its own.
 */
void drainer_order(struct drainer *d, const struct node *n, uint64_t when_ms);
/* Is it drained on these terms, by that order, as far as is known? */
bool drainer_has(const struct drainer *d, const struct node *n, const struct stand *s,
    uint64_t when_ms);
bool drainer_leaving(const struct drainer *d);
/* smbgate itself is drained, and the deadline was over some seconds ago. */
bool drainer_overdue(const struct drainer *d, uint64_t now_ms);

/* What this process still has on it, connections from before an upgrade included. */
void drainer_rest(const struct drainer *d, const struct node *n, struct rest *r);

/* "drain" of a node: null, or by, since_s, deadline_s and elsewhere. */
void drainer_json(const struct drainer *d, const struct node *n, uint64_t now_ms, json_t *o);

/*
 * How far it is: node, clients, connections, open_files, unseen, remaining_s, and cut, whom the
 * deadline has ended; of a node also elsewhere, and over: nobody is left here or there. name NULL:
 * of smbgate itself. False: no node of that name is drained by an operator, or was when policy had
 * it last.
 */
bool drainer_progress(const struct drainer *d, const char *name, const struct clients *all,
    uint64_t now_ms, json_t *o);
/* How it ended with smbgate itself: stopped, and cut. A new object. */
json_t *drainer_end(const struct drainer *d);

#endif
