/* wire.h: one connection that speaks Redis' protocol, plain or in TLS: asks, and is answered */
#ifndef STATE_WIRE_H
#define STATE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "state/fault.h"

struct event_base;
struct redisReply;
struct ssl_st;
struct wire;

#define WIRE_PATH_MAX 108

struct wire_server {
	struct addrport address;
	char path[WIRE_PATH_MAX];	/* a unix socket; "": address */
};

#define WIRE_NAME_MAX (ADDR_STRLEN + WIRE_PATH_MAX)

/* How a connection is protected; not one to a unix socket, which does not leave the machine. */
struct wire_tls {
	void *arg;
	/* For one connection, which owns it. NULL when memory is out. */
	struct ssl_st *(*open)(void *arg, const struct addrport *to);
	/* Of OpenSSL's error at the end of a connection: 0 and words, -1: it is none of TLS. */
	int (*why)(struct ssl_st *ssl, unsigned long error, char dst[FAULT_WORDS]);
	void (*write_last)(struct ssl_st *ssl, const void *p, size_t n);
};

/* NULL: the connection ended before there was an answer. */
typedef void (*wire_reply_f)(void *arg, const struct redisReply *r);

/* Each of them may free the connection. */
struct wire_ops {
	/* It is there, and so are its secrets. */
	void (*open)(void *arg);
	/* What was asked for, or pushed, or neither; true: it was no answer. NULL: all are. */
	bool (*push)(void *arg, const struct redisReply *r);
	/* The answer to a question with that cb, which may be NULL, and is called from here. */
	void (*reply)(void *arg, wire_reply_f cb, void *cb_arg, const struct redisReply *r);
	/* Something came that nobody asked for. */
	void (*unasked)(void *arg, const struct redisReply *r);
	/* It is of no use any more, and to be freed. words: what is known beyond that; or NULL. */
	void (*end)(void *arg, enum fault why, const char *words);
};

/* Begins to connect. NULL when that cannot be. tls: NULL: plain. */
struct wire *wire_new(struct event_base *base, const struct wire_server *to,
    const struct wire_tls *tls, const struct wire_ops *ops, void *arg);
/* Every cb that still waits gets NULL, from here. */
void wire_free(struct wire **w);

const char *wire_server_name(const struct wire_server *s, char dst[WIRE_NAME_MAX]);

/*
 * Asks; false when memory is out, or too much is asked already, and then cb is not called. What is
 * asked in one turn of the loop leaves together.
 */
bool wire_ask(struct wire *w, int argc, const char **argv, const size_t *len, wire_reply_f cb,
    void *arg);
/* What was asked leaves now, as far as it can, before a wire_free(). */
void wire_flush(struct wire *w);

#endif
