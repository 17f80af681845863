/* reply.h: hiredis' parser, held to what an answer may claim; and reading answers */
#ifndef STATE_REPLY_H
#define STATE_REPLY_H

#include <stddef.h>
#include <stdint.h>

struct redisReply;
struct reply_parser;

/*
 * An answer has at most REPLY_ELEMENTS_MAX elements in all, since hiredis allocates as many as an
 * array claims before one has come, and REPLY_BYTES_MAX bytes. Strings are allocated once they are
 * there.
 */
#define REPLY_ELEMENTS_MAX 4096
#define REPLY_BYTES_MAX (1u << 20)

struct reply_parser *reply_parser_new(void);
void reply_parser_free(struct reply_parser **p);
/* n more bytes have come. -1 when memory is out. */
int reply_feed(struct reply_parser *p, const char *bytes, size_t n)
    __attribute__((warn_unused_result));
/* 1: *r is a whole answer, for freeReplyObject(). 0: not yet. -1: this is not Redis speaking. */
int reply_next(struct reply_parser *p, struct redisReply **r) __attribute__((warn_unused_result));

/* The text of an error; NULL: it is none. */
const char *reply_error(const struct redisReply *r);
/* The n-th element of an array; NULL or 0 where it is of another type, or r is none. */
/* The text of a string; NULL where it is none. */
const char *reply_text(const struct redisReply *r, size_t *len);
const char *reply_string(const struct redisReply *r, size_t n, size_t *len);
uint64_t reply_number(const struct redisReply *r, size_t n);
const struct redisReply *reply_array(const struct redisReply *r, size_t n);
/* Of an array; 0 of anything else. */
size_t reply_elements(const struct redisReply *r);

#endif
