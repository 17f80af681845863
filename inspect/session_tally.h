/* session_tally.h: the table of sessions, counted, and the newest of them */
#ifndef INSPECT_SESSION_TALLY_H
#define INSPECT_SESSION_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "inspect/session_info.h"

struct node;
struct sesstab;

/* For people, as session_info. */
struct session_newest {
	const struct node *node;	/* to be compared alone: it may be gone */
	uint64_t since_ms;
	uint16_t dialect;
	enum session_protection protection;
	unsigned channels;
	struct addrport client;
	char principal[SESSION_TEXT_MAX];	/* or the name that the client gave; "": none */
	bool guest;
};

/* Adds every session to the row of its node, of n rows; those of other nodes are left out. */
void sesstab_tally(struct sesstab *t, struct session_tally *rows, size_t n);
/* How many there are. */
size_t sesstab_count(struct sesstab *t);

/* The newest, up to max, the newest first; returns how many. Of many, only these are looked at. */
size_t sesstab_newest(struct sesstab *t, struct session_newest *newest, size_t max);

#endif
