/* local.h: the map of claims in this process's memory */
#ifndef STATE_LOCAL_H
#define STATE_LOCAL_H

#include <stddef.h>
#include <stdint.h>

struct state;
struct local_map;

/* One map a process, shared by the handles of all threads. now_ms is a monotonic clock. */
struct local_map *local_map_new(size_t max_claims, uint64_t (*now_ms)(void));
void local_map_free(struct local_map **m);

/* A handle for one thread; the map must outlive it. Its answers come before the call returns. */
struct state *local_state_new(struct local_map *m);

#endif
