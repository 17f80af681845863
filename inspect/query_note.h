/* query_note.h: what became of an interface query is remembered with its session, for people */
#ifndef INSPECT_QUERY_NOTE_H
#define INSPECT_QUERY_NOTE_H

#include <stdint.h>

struct decision;
struct mediate;
struct message;

/* Where d says what became of it. answer: the node's, if it is one to the query itself, or NULL. */
void query_note(struct mediate *m, uint64_t session_id, const struct message *answer,
    const struct decision *d);

#endif
