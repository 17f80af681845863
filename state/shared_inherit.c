/* shared_inherit.c: what one process knows of the map that proxies share, for the next one */
#include "config.h"

#include "state/inherit.h"

#include "base/tlv.h"
#include "state/exceptions.h"
#include "state/shared_priv.h"

#include <string.h>

/* Types are never used again for something else. */
enum {
	SHARED_FAULT = 1,
	FAULT_NAME = 1,
	FAULT_TIMES = 2,
	SHARED_COUNTS = 32,		/* and one for each count */
	SHARED_WAITED = 64,		/* and one for each of SHARED_WAITS */
};

#define COUNTED 8

static _Atomic uint64_t *
shared_count(struct shared_stats *st, unsigned i)
{
	_Atomic uint64_t *const all[COUNTED] = { &st->asked, &st->known, &st->blind, &st->refused,
		&st->wait_us_sum, &st->waits, &st->lost, &st->said };

	return all[i];
}

void
shared_write(struct tlv_out *o, struct shared *m)
{
	for (unsigned i = 0; i < COUNTED; i++)
		tlv_put_uint(o, (uint16_t)(SHARED_COUNTS + i), *shared_count(&m->stats, i));
	for (unsigned i = 0; i < SHARED_WAITS; i++)
		tlv_put_uint(o, (uint16_t)(SHARED_WAITED + i), m->stats.waited[i]);
	for (unsigned i = 0; i < FAULT_COUNT; i++) {
		size_t at = tlv_begin(o, SHARED_FAULT);

		tlv_put_text(o, FAULT_NAME, fault_name((enum fault)i));
		tlv_put_uint(o, FAULT_TIMES, m->faults.count[i]);
		tlv_end(o, at);
	}
}

/* What was counted: only added once all of the record is good. */
struct counts_read {
	uint64_t count[COUNTED], waited[SHARED_WAITS], faults[FAULT_COUNT];
};

static void
read_fault(struct tlv_in *in, struct counts_read *c)
{
	struct tlv_in x = tlv_sub(in);
	char name[64] = "";
	uint64_t times = 0;

	while (tlv_next(&x)) {
		if (x.type == FAULT_NAME)
			tlv_text(&x, name, sizeof(name));
		else if (x.type == FAULT_TIMES)
			times = tlv_uint(&x, INT64_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	for (unsigned i = 0; !in->bad && i < FAULT_COUNT; i++)
		if (strcmp(name, fault_name((enum fault)i)) == 0)
			c->faults[i] = times;
}

static void
read_count(struct tlv_in *in, struct counts_read *c)
{
	if (in->type == SHARED_FAULT)
		read_fault(in, c);
	else if (in->type >= SHARED_COUNTS && in->type < SHARED_COUNTS + COUNTED)
		c->count[in->type - SHARED_COUNTS] = tlv_uint(in, INT64_MAX);
	else if (in->type >= SHARED_WAITED && in->type < SHARED_WAITED + SHARED_WAITS)
		c->waited[in->type - SHARED_WAITED] = tlv_uint(in, INT64_MAX);
	else
		tlv_unknown(in);
}

static void
add_counts(struct shared *m, const struct counts_read *c)
{
	for (unsigned i = 0; i < COUNTED; i++)
		atomic_fetch_add(shared_count(&m->stats, i), c->count[i]);
	for (unsigned i = 0; i < SHARED_WAITS; i++)
		atomic_fetch_add(&m->stats.waited[i], c->waited[i]);
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		atomic_fetch_add(&m->faults.count[i], c->faults[i]);
}

int
shared_read(struct shared *m, const void *record, size_t n)
{
	struct counts_read counts = { .count = { 0 } };
	struct tlv_in in = tlv_in(record, n);

	while (tlv_next(&in))
		read_count(&in, &counts);
	if (in.bad)
		return -1;
	add_counts(m, &counts);
	return 0;
}

void
shared_write_exceptions(struct tlv_out *o, struct shared *m)
{
	table_lock(m);
	/* Else the next one asks Redis. */
	if (!m->online)
		exceptions_write(m->exceptions, o);
	table_unlock(m);
}

int
shared_read_exceptions(struct shared *m, const void *record, size_t n)
{
	int r;

	table_lock(m);
	r = exceptions_read(m->exceptions, record, n);
	table_unlock(m);
	return r;
}
