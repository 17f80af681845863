/* peers.h: what another process in the same Redis says of itself */
#ifndef STATE_PEERS_H
#define STATE_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/names.h"

struct redisReply;

#define PEER_NAME_MAX 64

struct peer {
	char token[NAMES_TOKEN_LEN + 1];	/* of its process */
	char name[PEER_NAME_MAX], version[8];
	bool same_secret, same_nodes;
	uint64_t age_ms;		/* since it was heard of */
};

/*
 * The i-th element, and the line behind it: see names.h. t is Redis' time, tag and nodes are our
 * own. False: nobody of us has written it.
 */
bool peer_read(const struct redisReply *r, size_t i, uint64_t t, const char *tag, uint64_t nodes,
    struct peer *p);

#endif
