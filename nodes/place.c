/* place.c: pure: which node a client belongs on: rendezvous hash with weights and bounded load */
#include "config.h"

#include "nodes/place.h"

#include <math.h>
#include <stdbool.h>

/*
 * Weighted rendezvous hashing: every node draws -ln(u)/w with u in (0,1] from the hash; the least
 * draw wins. Taking a node away, or adding one, moves only the clients whose winner it is.
 */
static double
place_draw(const struct place *p)
{
	double u = ((double)(p->hash >> 11) + 1.0) / 9007199254740992.0;	/* 2^53 */

	return -log(u) / p->weight;
}

size_t
place_choose(const struct place *p, size_t n)
{
	double weights = 0, clients = 1, best = 0;
	size_t chosen = 0;
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		weights += p[i].weight;
		clients += p[i].load;
	}
	for (size_t i = 0; i < n; i++) {
		double share = clients * p[i].weight / weights;
		double d = place_draw(&p[i]);

		/* The bounds sum up to more than all clients, so one node at least passes. */
		if (p[i].load + 1 > share * PLACE_LOAD_BOUND &&
		    p[i].load + 1 > share + PLACE_LOAD_SLACK)
			continue;
		if (!found || d < best) {
			found = true;
			best = d;
			chosen = i;
		}
	}
	return chosen;
}
