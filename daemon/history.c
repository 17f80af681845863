/* history.c: pure: the last minutes of smbgate, in rings of a fixed size */
#include "config.h"

#include "daemon/history.h"

#include "daemon/facts.h"
#include "stats/refusals.h"

#include <stdio.h>
#include <string.h>

/* A node's ring: the one it has, or that of a node which has been gone the longest. */
static struct history_node *
ring_of(struct history *h, const char *name)
{
	struct history_node *oldest = &h->nodes[0];

	for (size_t i = 0; i < HISTORY_NODES; i++) {
		struct history_node *x = &h->nodes[i];

		if (strcmp(x->name, name) == 0)
			return x;
		if (x->seen < oldest->seen)
			oldest = x;
	}
	memset(oldest, 0, sizeof(*oldest));
	snprintf(oldest->name, sizeof(oldest->name), "%s", name);
	return oldest;
}

static void
take_nodes(struct history *h, const struct facts *f, size_t at)
{
	for (size_t i = 0; i < HISTORY_NODES; i++)
		h->nodes[i].connections[at] = 0;
	for (size_t i = 0; i < f->nnodes && i < HISTORY_NODES; i++) {
		struct history_node *x = ring_of(h, f->nodes[i].name);

		x->seen = h->n + 1;
		x->connections[at] = f->nodes[i].connections;
	}
}

void
history_begin(struct history *h, uint64_t now_ms)
{
	memset(h, 0, sizeof(*h));
	h->at_ms = now_ms;
}

void
history_take(struct history *h, const struct facts *f, uint64_t now_ms)
{
	const uint64_t now[HISTORY_LINES] = {
		[HISTORY_CONNECTIONS] = f->connections,
		[HISTORY_TO_NODE] = f->sum.count[STAT_bytes_to_node],
		[HISTORY_TO_CLIENT] = f->sum.count[STAT_bytes_to_client],
		[HISTORY_ACCEPTED] = f->sum.count[STAT_accepted],
		[HISTORY_REFUSED] = refusals_all(&f->sum),
	};
	uint64_t ms = now_ms > h->at_ms ? now_ms - h->at_ms : 1;
	size_t at = h->n % HISTORY_LEN;

	for (int i = 0; i < HISTORY_LINES; i++) {
		uint64_t more = now[i] - h->last[i];

		if (i == HISTORY_CONNECTIONS)
			h->line[i][at] = now[i];
		else if (i == HISTORY_TO_NODE || i == HISTORY_TO_CLIENT)
			h->line[i][at] = more * 1000 / ms;
		else
			h->line[i][at] = more;
	}
	take_nodes(h, f, at);
	h->n++;
	memcpy(h->last, now, sizeof(now));
	h->at_ms = now_ms;
}

size_t
history_line(const struct history *h, enum history_line which, uint64_t dst[HISTORY_LEN])
{
	size_t n = h->n < HISTORY_LEN ? h->n : HISTORY_LEN;

	for (size_t i = 0; i < n; i++)
		dst[i] = h->line[which][(h->n - n + i) % HISTORY_LEN];
	return n;
}

size_t
history_node(const struct history *h, const char *name, uint64_t dst[HISTORY_LEN])
{
	size_t n = h->n < HISTORY_LEN ? h->n : HISTORY_LEN;

	for (size_t k = 0; k < HISTORY_NODES; k++) {
		if (strcmp(h->nodes[k].name, name) != 0)
			continue;
		for (size_t i = 0; i < n; i++)
			dst[i] = h->nodes[k].connections[(h->n - n + i) % HISTORY_LEN];
		return n;
	}
	return 0;
}
