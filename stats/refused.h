/* refused.h: the last refusals, to whom and when; kept for people who ask */
#ifndef STATS_REFUSED_H
#define STATS_REFUSED_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"

#define REFUSED_MAX 1024
#define REFUSED_MS (15 * 60 * 1000)
/* Of these, to one address: a flood takes no more room from others. */
#define REFUSED_SOURCE_MAX 32

/* One of a kind of refusals.h, or several of one client, of which this is the last. */
struct refusal {
	struct addrport client, local;
	struct guid guid;		/* zeros: none, or not known */
	uint64_t at_ms;
	uint64_t count;			/* set by refused_note() */
	uint64_t session_id;		/* that it wanted to be bound to, say; 0: none */
	uint8_t kind;
	char node[64];			/* "": none */
	char user[96];			/* as the client said; "": not known */
};

struct refused;

struct refused *refused_new(void);
void refused_free(struct refused **r);

/* From any thread; copied. */
void refused_note(struct refused *r, const struct refusal *what);
/* The same of so many as its count says: another process has noted them. */
void refused_again(struct refused *r, const struct refusal *what);

/*
 * Those of the last REFUSED_MS, the newest first; how many. dst: room for REFUSED_MAX. left_out:
 * how many refusals had to make room for others since the start.
 */
size_t refused_list(struct refused *r, uint64_t now_ms, struct refusal *dst, uint64_t *left_out);

#endif
