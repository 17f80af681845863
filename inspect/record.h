/* record.h: an inspected connection as a record, with which another smbgate goes on */
#ifndef INSPECT_RECORD_H
#define INSPECT_RECORD_H

#include <stdbool.h>

struct channel;
struct channel_ends;
struct mediate;
struct node;
struct sesstab;
struct tlv_in;
struct tlv_out;
struct track;

/*
 * Both processes run on one machine: its monotonic clock is the same for both, and times travel as
 * they are. Pointers never do. Types are never given another meaning: what is new has a new one.
 * Readers say -1 where anything is wrong, or memory is out; what they have made by then is undone
 * by the usual end of the structure. Records hold keys: see base/tlv.h.
 */

/* Why it cannot go as it stands now, in words for people; NULL: it can. */
const char *mediate_stays(const struct mediate *m);
void mediate_put(const struct mediate *m, struct tlv_out *o);
/* m is as mediate_init() made it, and has its node. */
int mediate_get(struct mediate *m, struct tlv_in in) __attribute__((warn_unused_result));
/* It goes on here, and has a claim: what other proxies are to know of its sessions is told. */
void mediate_arrived(const struct mediate *m);
/*
 * In the place of mediate_fini(), once another process has it: the sessions go on there, and nobody
 * is told that they have ended.
 */
void mediate_departed(struct mediate *m);

/* Of these, one each. */
void track_put(const struct track *t, struct tlv_out *o);
int track_get(struct track *t, struct tlv_in in) __attribute__((warn_unused_result));
void channel_put(struct sesstab *t, const struct channel *c, struct tlv_out *o);
/*
 * The channel, and its session if this is the first of its channels to come. *doubt: another one
 * came before and the files that are open are told otherwise. NULL: it is wrong, or memory is out.
 */
struct channel *channel_get(struct sesstab *t, struct tlv_in in, const struct node *node,
    const struct channel_ends *ends, bool *doubt);

#endif
