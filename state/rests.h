/* rests.h: pure: what proxies tell each other of whom they have on drained nodes */
#ifndef STATE_RESTS_H
#define STATE_RESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/names.h"

/*
 * A proxy lists the drain orders that it has carried out, each with what it still has on that
 * node. An order is a hash of the node's identity and of when it was given: what is said of an
 * earlier drain of the same node says nothing of a later one.
 */
struct rest {
	uint64_t order;
	uint32_t connections, clients;
	uint32_t cut;			/* clients that the deadline has ended */
};

/* All of them, as text; one that does not fit is left out: then nobody takes it for over. */
struct rests {
	size_t len;
	char text[NAMES_RESTS_MAX];
};

/* Appends one. r is all zero before the first. */
void rests_add(struct rests *r, const struct rest *x);

/* The line of a proxy in Redis: how old what it says is, and that. Returns its length. */
#define RESTS_LINE (NAMES_RESTS_MAX + 16)
size_t rests_line(const struct rests *r, uint64_t age_ms, char dst[RESTS_LINE]);

enum rest_says {
	REST_NEVER,	/* it says nothing of the kind, ever: it is of an older version */
	REST_NOT_YET,	/* it does not know of that order yet, or cannot be understood */
	REST_SAID,
};

/* A line as it was read, once it was found to be one. */
struct rests_said {
	enum rest_says says;		/* of no order: whether it says anything */
	uint64_t age_ms;		/* when it was sent */
	struct rests rests;
};

/* Anybody who reaches Redis may have written it: what is wrong somewhere says nothing at all. */
void rests_read(struct rests_said *s, const char *line, size_t len);
/* What it says of an order. */
enum rest_says rests_find(const struct rests_said *s, uint64_t order, struct rest *x);

#endif
