/* place.h: pure: which node a client belongs on: rendezvous hash with weights and bounded load */
#ifndef NODES_PLACE_H
#define NODES_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* A node that may take the client. */
struct place {
	uint64_t hash;		/* of client and node together */
	double weight;		/* > 0 */
	unsigned load;		/* clients that it has */
};

/*
 * No node gets more than this many times its share of the clients, so that neither chance nor
 * clients that choose their GUIDs can fill one.
 */
#define PLACE_LOAD_BOUND 1.25
/*
 * But a node may always have this many more than its share. Among few clients chance alone goes
 * past the bound now and then, and a client that is sent elsewhere for it is on another node when
 * it comes again, or through another proxy.
 */
#define PLACE_LOAD_SLACK 32

/* The index of the node to take; n must not be 0. */
size_t place_choose(const struct place *p, size_t n);

#endif
