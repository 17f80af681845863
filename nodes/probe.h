/* probe.h: one SMB NEGOTIATE on a connection of its own: connect, ask, read the answer, reset */
#ifndef NODES_PROBE_H
#define NODES_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "base/magic.h"

struct event;
struct event_base;
struct node;
struct own;

enum probe_end {
	PROBE_ANSWERED,
	/* connect() was refused, or the network said that nobody is there */
	PROBE_NO_WAY,
	PROBE_UNHEARD,		/* no connection in time: dead, or the listening queue is full */
	PROBE_SILENT,		/* connected, and no answer in time */
	PROBE_IMPROPER,		/* an answer that is none */
	PROBE_CLOSED,		/* closed or reset before it answered */
	PROBE_DENIED,		/* a negative session response: smbd's "hosts allow" */
	PROBE_OWN,		/* this machine's own trouble: it says nothing of the node */
};

/* What an answer may have, header included. */
#define PROBE_ANSWER_MAX 4096

/* One node's; at most one connection at a time. All zero before probe_init(). */
struct probe {
	MAGIC_MEMBER
	struct event_base *base;
	struct node *node;		/* borrowed */
	struct own *own;
	struct event *timer;		/* the end of its patience */
	struct event *io;
	int fd;				/* -1: none is out */
	bool smb1;			/* a multi-protocol NEGOTIATE in SMB1 */
	bool in_smb1;			/* and so was the answer */
	bool sent;
	uint64_t started_us;
	void (*done)(void *arg, enum probe_end end, const char *why);
	void *arg;
	size_t have;
	uint8_t answer[PROBE_ANSWER_MAX];
};

/* -1: out of memory. probe_fini() is right after that, too. */
int probe_init(struct probe *p, struct event_base *base, struct node *n, struct own *own,
    void (*done)(void *arg, enum probe_end end, const char *why), void *arg)
    __attribute__((warn_unused_result));
void probe_fini(struct probe *p);

/*
 * None is out. done() is called once: with what came of it, in words; perhaps before this returns.
 * An answer in SMB2 has been remembered (node_learn()) by then.
 */
void probe_start(struct probe *p, bool smb1, unsigned timeout_ms);
bool probe_is_out(const struct probe *p);

#endif
