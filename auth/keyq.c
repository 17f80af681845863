/* keyq.c: exchanges that wait to be sent to smbgate-keyd: each source of logons has its share */
#include "config.h"

#include "auth/keyc_priv.h"

#include <stdlib.h>

/* What may wait for a smbgate-keyd that is busy: more would not be answered in time. */
#define QUEUE_EXCHANGES 1024
#define QUEUE_BYTES (4 * 1024 * 1024)

/* The exchanges of one source, as long as there are any. */
struct keysource {
	TAILQ_ENTRY(keysource) entry;
	uint64_t id;
	struct keyx_list list;
	size_t n, bytes;
};

static size_t
unsent_bytes(const struct keyx *x)
{
	size_t n = 0;

	for (unsigned i = 0; i < x->nunsent; i++)
		n += buf_len(&x->unsent[i].token);
	return n;
}

/* There are few, or they are small: only what waits is in here. NULL: out of memory. */
static struct keysource *
keysource_of(struct keyc *c, uint64_t id)
{
	struct keysource *s;

	TAILQ_FOREACH(s, &c->sources, entry)
		if (s->id == id)
			return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->id = id;
	TAILQ_INIT(&s->list);
	TAILQ_INSERT_TAIL(&c->sources, s, entry);
	return s;
}

static void
source_drop_empty(struct keyc *c, struct keysource *s)
{
	if (s->n > 0)
		return;
	TAILQ_REMOVE(&c->sources, s, entry);
	free(s);
}

void
keyq_remove(struct keyx *x)
{
	struct keysource *s = x->queue;
	struct keyc *c = x->c;

	if (s == NULL)
		return;
	TAILQ_REMOVE(&s->list, x, queued);
	s->n--;
	s->bytes -= unsent_bytes(x);
	c->nqueued--;
	c->queued_bytes -= unsent_bytes(x);
	atomic_fetch_sub(&c->watch->queued, 1);
	x->queue = NULL;
	source_drop_empty(c, s);
}

/* The last of the source that would have most of what lacks, taken out; x, where it is its own. */
static struct keyx *
keyq_make_room(struct keyx *x, const struct keysource *own)
{
	const bool number = x->c->nqueued >= QUEUE_EXCHANGES;
	size_t most = number ? own->n + 1 : own->bytes + unsent_bytes(x);
	const struct keysource *whose = own, *s;
	struct keyx *last = x;

	TAILQ_FOREACH(s, &x->c->sources, entry) {
		size_t has = number ? s->n : s->bytes;

		if (has > most) {
			whose = s;
			most = has;
		}
	}
	if (whose != own) {
		last = TAILQ_LAST(&whose->list, keyx_list);
		keyq_remove(last);
	}
	return last;
}

struct keyx *
keyq_add(struct keyx *x)
{
	struct keyc *c = x->c;
	struct keysource *s;
	struct keyx *victim;

	keyq_remove(x);
	s = keysource_of(c, x->source);
	if (s == NULL)
		return x;
	if (c->nqueued >= QUEUE_EXCHANGES || c->queued_bytes + unsent_bytes(x) > QUEUE_BYTES) {
		victim = keyq_make_room(x, s);
		source_drop_empty(c, s);
		return victim;
	}
	TAILQ_INSERT_TAIL(&s->list, x, queued);
	s->n++;
	s->bytes += unsent_bytes(x);
	c->nqueued++;
	c->queued_bytes += unsent_bytes(x);
	atomic_fetch_add(&c->watch->queued, 1);
	x->queue = s;
	return NULL;
}

struct keyx *
keyq_first(const struct keyc *c)
{
	struct keysource *s = TAILQ_FIRST(&c->sources);

	return s == NULL ? NULL : TAILQ_FIRST(&s->list);
}

void
keyq_sent(struct keyx *x)
{
	struct keysource *s = x->queue;
	struct keyc *c = x->c;

	s->bytes -= buf_len(&x->unsent[0].token);
	c->queued_bytes -= buf_len(&x->unsent[0].token);
	buf_fini(&x->unsent[0].token);
	x->unsent[0] = x->unsent[1];
	x->unsent[1].token = (struct buf){ .mem = NULL };
	if (--x->nunsent > 0)
		return;
	TAILQ_REMOVE(&c->sources, s, entry);
	TAILQ_INSERT_TAIL(&c->sources, s, entry);
	keyq_remove(x);
}
