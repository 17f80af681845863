/* home.c: pure: the node that every proxy chooses for a client, whatever it sees of the nodes */
#include "config.h"

#include "nodes/home.h"

#include "auth/keyhash.h"
#include "nodes/node.h"
#include "nodes/place.h"
#include "policy/policy.h"

#include <string.h>

struct node *
home_of(struct node *const *all, size_t n, const struct keyhash *hash, const struct state_key *key,
    bool next)
{
	struct place places[POL_NODES_MAX];
	struct node *fit[POL_NODES_MAX];
	size_t k = 0;

	for (size_t i = 0; i < n && k < POL_NODES_MAX; i++) {
		unsigned weight = next ? node_home_weight(all[i]) : all[i]->home_weight;

		if (weight == 0 || !node_in_cluster(all[i], state_key_cluster(key)))
			continue;
		fit[k] = all[i];
		places[k++] = (struct place){
			.hash = keyhash(hash, key->b, STATE_KEY_CLIENT, all[i]->name,
			    strlen(all[i]->name)),
			.weight = weight,
		};
	}
	return k == 0 ? NULL : fit[place_choose(places, k)];
}
