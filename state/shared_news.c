/* shared_news.c: what proxies tell each other: exceptions, and what is over */
#include "config.h"

#include "state/shared_priv.h"

#include "base/clock.h"
#include "state/exceptions.h"

#include <stdlib.h>
#include <string.h>

#define NEWS_MAX 1024

int
shared_note_exception(struct shared *m, const uint8_t id[NAMES_ID_LEN], const char *record,
    size_t len)
{
	char text[STATE_NODE_LEN];
	uint64_t when;
	int r = 0;

	if (record != NULL &&
	    record_get(record, len, m->seal, "claim", id, NAMES_ID_LEN, &when, text) == -1) {
		fault_add(&m->faults, FAULT_BAD_VALUE);
		return -1;
	}
	table_lock(m);
	if (record == NULL)
		exceptions_drop(m->exceptions, id);
	else
		r = exceptions_put(m->exceptions, id, record, len);
	table_unlock(m);
	return r;
}

void
shared_swept(struct shared *m)
{
	table_lock(m);
	exceptions_swept(m->exceptions);
	table_unlock(m);
}

size_t
shared_exceptions(struct shared *m)
{
	size_t n;

	table_lock(m);
	n = exceptions_count(m->exceptions);
	table_unlock(m);
	return n;
}

/* Taken out; or NULL. */
static struct shared_news *
first_news(struct shared *m)
{
	struct shared_news *x = STAILQ_FIRST(&m->news);

	if (x != NULL) {
		STAILQ_REMOVE_HEAD(&m->news, entry);
		m->nnews--;
	}
	return x;
}

static void
put_news(struct shared *m, const struct state_reset *r, const void *bytes, size_t len)
{
	struct shared_news *x = calloc(1, sizeof(*x) + len), *oldest = NULL;

	if (x == NULL)
		return;
	if (len > 0)
		memcpy(x->bytes, bytes, len);
	else
		x->r = *r;
	x->len = len;
	x->at_ms = clock_ms();
	table_lock(m);
	if (m->nnews == NEWS_MAX)
		oldest = first_news(m);
	STAILQ_INSERT_TAIL(&m->news, x, entry);
	m->nnews++;
	wakes_add(&m->wakes, m->wake);
	table_unlock(m);
	free(oldest);
}

void
shared_put_reset(struct shared *m, const struct state_reset *r)
{
	put_news(m, r, NULL, 0);
}

void
shared_put_told(struct shared *m, const void *bytes, size_t len)
{
	if (len > 0 && len <= STATE_FACT_MAX)
		put_news(m, NULL, bytes, len);
}

bool
shared_take_news(struct shared *m, struct state_reset *r, uint8_t bytes[STATE_FACT_MAX],
    size_t *len)
{
	struct shared_news *x;
	bool any;

	table_lock(m);
	x = first_news(m);
	any = x != NULL;
	if (any) {
		*r = x->r;
		r->age_ms += clock_ms() - x->at_ms;
		*len = x->len;
		memcpy(bytes, x->bytes, x->len);
	}
	table_unlock(m);
	free(x);
	return any;
}
