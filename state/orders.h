/* orders.h: what operators have said last of draining each node, on any proxy */
#ifndef STATE_ORDERS_H
#define STATE_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/record.h"
#include "state/state.h"

struct orders;
struct tlv_out;

/* "active", or what it is instead, and on which terms: opaque here. */
#define ORDERS_TEXT 64

struct order_said {
	char node[STATE_NODE_LEN], stand[ORDERS_TEXT];
	uint64_t when_ms, age_ms;	/* it was given then, by Redis' clock, and so long ago */
};

typedef void (*orders_send_f)(void *arg, const char *node, const struct record *r);

/* For any thread, with a leaf lock, not held over callbacks. NULL when memory is out. */
struct orders *orders_new(const struct record_seal *seal);
void orders_free(struct orders **o);

/* Said here, at that time of Redis' clock. */
void orders_give(struct orders *o, const char *node, const char *stand, uint64_t now_ms);
/* What was said here and not sent yet. */
void orders_given(struct orders *o, orders_send_f send, void *arg);
/* 1: Redis has a later word, or the first one; -1: that is no order; 0: it is known. */
int orders_take(struct orders *o, const char *node, size_t node_len, const char *record,
    size_t len, uint64_t now_ms, struct order_said *said)
    __attribute__((warn_unused_result));
/* What Redis has begins; it is over: what is missing there. */
void orders_begin(struct orders *o);
void orders_missing(struct orders *o, orders_send_f send, void *arg);
/* The last order about that node; false: there is none. */
bool orders_find(struct orders *o, const char *node, uint64_t now_ms, struct order_said *said);
void orders_each(struct orders *o, uint64_t now_ms,
    void (*f)(void *arg, const struct order_said *said), void *arg);

/*
 * All of them, as one process hands them to the next: Redis may not have been there to be told, and
 * they hold here as if they had been given here then. 0, or -1: a bad record; those before the bad
 * one hold.
 */
void orders_write(struct orders *o, struct tlv_out *out);
int orders_read(struct orders *o, const void *record, size_t len)
    __attribute__((warn_unused_result));

#endif
