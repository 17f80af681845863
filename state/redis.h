/* redis.h: the map of claims in Redis, as one thread has it */
#ifndef STATE_REDIS_H
#define STATE_REDIS_H

struct event_base;
struct shared;
struct state;

/*
 * A handle for the thread that runs base. m must outlive it; a keeper brings what is decided here
 * to Redis. Answers come before the call returns where the client is live on this proxy or Redis is
 * away, else within link_conf.timeout_ms: then the client is placed as every proxy would without
 * Redis. base NULL: a handle that only counts and lists.
 */
struct state *redis_state_new(struct event_base *base, struct shared *m);

#endif
