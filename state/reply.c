/* reply.c: hiredis' parser, held to what an answer may claim; and reading answers */
#include "config.h"

#include "state/reply.h"

#include <stdlib.h>

#include <hiredis/hiredis.h>

/* Later versions of hiredis count with size_t. */
#if HIREDIS_MAJOR < 1
typedef int element_count;
#else
typedef size_t element_count;
#endif

struct reply_parser {
	redisReader *reader;
	redisReplyObjectFunctions fn;	/* hiredis' own, but for createArray */
	void *(*create_array)(const redisReadTask *task, element_count n);
	size_t elements;		/* claimed by the answer that is being read */
};

static void *
create_array(const redisReadTask *task, element_count n)
{
	struct reply_parser *p = task->privdata;

	if (n < 0 || (size_t)n > REPLY_ELEMENTS_MAX - p->elements)
		return NULL;
	p->elements += (size_t)n;
	return p->create_array(task, n);
}

struct reply_parser *
reply_parser_new(void)
{
	struct reply_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->reader = redisReaderCreate();
	if (p->reader == NULL) {
		free(p);
		return NULL;
	}
	p->fn = *p->reader->fn;
	p->create_array = p->fn.createArray;
	p->fn.createArray = create_array;
	p->reader->fn = &p->fn;
	p->reader->privdata = p;
	return p;
}

void
reply_parser_free(struct reply_parser **p)
{
	if (*p != NULL)
		redisReaderFree((*p)->reader);
	free(*p);
	*p = NULL;
}

int
reply_feed(struct reply_parser *p, const char *bytes, size_t n)
{
	return redisReaderFeed(p->reader, bytes, n) == REDIS_OK ? 0 : -1;
}

int
reply_next(struct reply_parser *p, struct redisReply **r)
{
	void *x = NULL;

	if (redisReaderGetReply(p->reader, &x) != REDIS_OK)
		return -1;
	*r = x;
	if (x != NULL) {
		p->elements = 0;
		return 1;
	}
	return p->reader->len - p->reader->pos > REPLY_BYTES_MAX ? -1 : 0;
}

size_t
reply_elements(const struct redisReply *r)
{
	return r != NULL && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const char *
reply_error(const struct redisReply *r)
{
	return r != NULL && r->type == REDIS_REPLY_ERROR ? r->str : NULL;
}

static const redisReply *
element(const redisReply *r, size_t n, int type)
{
	return n < reply_elements(r) && r->element[n]->type == type ? r->element[n] : NULL;
}

const char *
reply_text(const struct redisReply *r, size_t *len)
{
	*len = r == NULL || r->type != REDIS_REPLY_STRING ? 0 : (size_t)r->len;
	return r == NULL || r->type != REDIS_REPLY_STRING ? NULL : r->str;
}

const char *
reply_string(const struct redisReply *r, size_t n, size_t *len)
{
	return reply_text(element(r, n, REDIS_REPLY_STRING), len);
}

uint64_t
reply_number(const struct redisReply *r, size_t n)
{
	const redisReply *e = element(r, n, REDIS_REPLY_INTEGER);

	return e == NULL || e->integer < 0 ? 0 : (uint64_t)e->integer;
}

const struct redisReply *
reply_array(const struct redisReply *r, size_t n)
{
	return element(r, n, REDIS_REPLY_ARRAY);
}
