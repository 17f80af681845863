/* peers.h: what another process in the same Redis says of itself */
#ifndef STATE_PEERS_H
#define STATE_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redisReply;

#define PEER_NAME_MAX 64

struct peer {
	char name[PEER_NAME_MAX], version[8];
	bool same_secret, same_nodes;
	uint64_t age_ms;		/* since it was heard of */
};

/*
 * The line behind the i-th element: see names.h. t is Redis' time, tag and nodes are our own.
 * False: nobody of us has written it.
 */
bool peer_read(const struct redisReply *r, size_t i, uint64_t t, const char *tag, uint64_t nodes,
    struct peer *p);

#endif
