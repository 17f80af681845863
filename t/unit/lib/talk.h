/* talk.h: one connection between client and node without sockets, for tests */
#ifndef T_UNIT_LIB_TALK_H
#define T_UNIT_LIB_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "inspect/mediate.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "proxy/conn_priv.h"

/*
 * What conn.c does once the node is connected: two pumps, classify() and mediate_held(). Bytes
 * that would be sent are collected in out[direction].
 */
struct talk {
	struct mediate_env *env;
	struct node node;
	struct conf_listen listener;
	struct conn conn;
	struct talk_side {
		struct talk *talk;
		enum dir dir;
		struct pump pump;
		struct buf out;
		unsigned frames_held;
	} side[2];
	bool closed, ended;
	enum close_reason why;
};

/* What a worker has; the policy's text is written to a file and loaded. Never NULL. */
struct mediate_env *talk_env_new(const char *policy);
void talk_env_free(struct mediate_env *env);

/* dialled: the local address of the client. env must outlive the talk. */
void talk_init(struct talk *t, struct mediate_env *env, const char *listener, const char *dialled);
/* The connection is over, and its sessions with it; what was sent is kept. */
void talk_end(struct talk *t);
void talk_fini(struct talk *t);

/* Feeds bytes of one direction; false once the talk is closed. */
bool talk_feed(struct talk *t, enum dir dir, const uint8_t *p, size_t n);

#endif
