/* inherit.c: counters and refusals, as one process hands them to the next */
#include "config.h"

#include "stats/inherit.h"

#include "base/tlv.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <stdlib.h>
#include <string.h>

/* Types are never used again for something else. */
enum { STATS_COUNTER = 1, STATS_CLOSED = 2, STATS_NAME = 1, STATS_MORE = 2 };

enum {
	REFUSED_ROW = 1,
	REFUSED_CODE = 1,
	REFUSED_CLIENT = 2,
	REFUSED_LOCAL = 3,
	REFUSED_GUID = 4,
	REFUSED_AGE_MS = 5,
	REFUSED_COUNT = 6,
	REFUSED_SESSION = 7,
	REFUSED_NODE = 8,
	REFUSED_USER = 9,
};

/* An address, and behind it the port. */
#define ADDRPORT_LEN 18

static void
write_counter(struct tlv_out *o, uint16_t type, const char *name, uint64_t n,
    _Atomic uint64_t *told)
{
	size_t at;

	if (n <= *told)
		return;
	at = tlv_begin(o, type);
	tlv_put_text(o, STATS_NAME, name);
	tlv_put_uint(o, STATS_MORE, n - *told);
	tlv_end(o, at);
	*told = n;
}

void
stats_write(struct tlv_out *o, const struct stats *sum, struct stats *told)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		write_counter(o, STATS_COUNTER, stats_name((enum counter)i), sum->count[i],
		    &told->count[i]);
	for (unsigned i = 0; i < CLOSE_COUNT; i++)
		write_counter(o, STATS_CLOSED, close_counter((enum close_reason)i), sum->closed[i],
		    &told->closed[i]);
}

static void
add_counter(struct stats *s, uint16_t type, const char *name, uint64_t more)
{
	for (unsigned i = 0; type == STATS_COUNTER && i < STAT_COUNT; i++)
		if (strcmp(stats_name((enum counter)i), name) == 0)
			s->count[i] += more;
	for (unsigned i = 0; type == STATS_CLOSED && i < CLOSE_COUNT; i++)
		if (strcmp(close_counter((enum close_reason)i), name) == 0)
			s->closed[i] += more;
}

static void
read_counter(struct tlv_in *in, struct stats *s)
{
	struct tlv_in x = tlv_sub(in);
	uint64_t more = 0;
	char name[64] = "";

	while (tlv_next(&x)) {
		if (x.type == STATS_NAME)
			tlv_text(&x, name, sizeof(name));
		else if (x.type == STATS_MORE)
			more = tlv_uint(&x, INT64_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	if (!in->bad)
		add_counter(s, in->type, name, more);
}

int
stats_read(struct stats *s, const void *record, size_t n)
{
	struct tlv_in in = tlv_in(record, n);
	struct stats more = { .count = { 0 } };

	while (tlv_next(&in)) {
		if (in.type == STATS_COUNTER || in.type == STATS_CLOSED)
			read_counter(&in, &more);
		else
			tlv_unknown(&in);
	}
	if (in.bad)
		return -1;
	for (unsigned i = 0; i < STAT_COUNT; i++)
		stats_add(s, (enum counter)i, more.count[i]);
	for (unsigned i = 0; i < CLOSE_COUNT; i++)
		s->closed[i] += more.closed[i];
	return 0;
}

static void
put_addrport(struct tlv_out *o, uint16_t type, const struct addrport *a)
{
	uint8_t b[ADDRPORT_LEN];

	memcpy(b, a->addr.b, 16);
	b[16] = (uint8_t)a->port;
	b[17] = (uint8_t)(a->port >> 8);
	tlv_put(o, type, b, sizeof(b));
}

static void
get_addrport(struct tlv_in *in, struct addrport *a)
{
	uint8_t b[ADDRPORT_LEN];

	tlv_copy(in, b, sizeof(b));
	memcpy(a->addr.b, b, 16);
	a->port = (uint16_t)(b[16] | b[17] << 8);
}

static void
write_refusal(struct tlv_out *o, const struct refusal *x, uint64_t now_ms)
{
	size_t at = tlv_begin(o, REFUSED_ROW);

	tlv_put_text(o, REFUSED_CODE, refusals_code(x->kind));
	put_addrport(o, REFUSED_CLIENT, &x->client);
	put_addrport(o, REFUSED_LOCAL, &x->local);
	tlv_put(o, REFUSED_GUID, &x->guid, sizeof(x->guid));
	tlv_put_uint(o, REFUSED_AGE_MS, now_ms - x->at_ms);
	tlv_put_uint(o, REFUSED_COUNT, x->count);
	tlv_put_uint(o, REFUSED_SESSION, x->session_id);
	tlv_put_text(o, REFUSED_NODE, x->node);
	tlv_put_text(o, REFUSED_USER, x->user);
	tlv_end(o, at);
}

void
refused_write(struct tlv_out *o, struct refused *r, uint64_t now_ms)
{
	struct refusal *all = calloc(REFUSED_MAX, sizeof(*all));
	uint64_t left_out;

	if (all == NULL) {
		o->bad = true;
		return;
	}
	for (size_t n = refused_list(r, now_ms, all, &left_out); n > 0; n--)
		write_refusal(o, &all[n - 1], now_ms);
	free(all);
}

/* -1: there is no such kind here. */
static int
kind_of(const char *code)
{
	for (size_t i = 0; i < refusals_kinds(); i++)
		if (strcmp(refusals_code(i), code) == 0)
			return (int)i;
	return -1;
}

static int
read_refusal(struct tlv_in *in, struct refusal *x, uint64_t now_ms)
{
	struct tlv_in row = tlv_sub(in);
	uint64_t age = REFUSED_MS;
	char code[64] = "";

	*x = (struct refusal){ .count = 1 };
	while (tlv_next(&row)) {
		switch (row.type) {
		case REFUSED_CODE:
			tlv_text(&row, code, sizeof(code));
			break;
		case REFUSED_CLIENT:
			get_addrport(&row, &x->client);
			break;
		case REFUSED_LOCAL:
			get_addrport(&row, &x->local);
			break;
		case REFUSED_GUID:
			tlv_copy(&row, &x->guid, sizeof(x->guid));
			break;
		case REFUSED_AGE_MS:
			age = tlv_uint(&row, REFUSED_MS);
			break;
		case REFUSED_COUNT:
			x->count = tlv_uint(&row, INT64_MAX);
			break;
		case REFUSED_SESSION:
			x->session_id = tlv_uint(&row, UINT64_MAX);
			break;
		case REFUSED_NODE:
			tlv_text(&row, x->node, sizeof(x->node));
			break;
		case REFUSED_USER:
			tlv_text(&row, x->user, sizeof(x->user));
			break;
		default:
			tlv_unknown(&row);
		}
	}
	in->bad |= row.bad || x->count == 0;
	x->at_ms = now_ms - (age < now_ms ? age : now_ms);
	return in->bad ? -1 : kind_of(code);
}

int
refused_read(struct refused *r, const void *record, size_t n, uint64_t now_ms)
{
	struct tlv_in in = tlv_in(record, n);
	struct refusal x;
	int kind;

	while (tlv_next(&in)) {
		if (in.type != REFUSED_ROW) {
			tlv_unknown(&in);
			continue;
		}
		kind = read_refusal(&in, &x, now_ms);
		if (kind == -1)
			continue;
		x.kind = (uint8_t)kind;
		refused_again(r, &x);
	}
	return in.bad ? -1 : 0;
}
