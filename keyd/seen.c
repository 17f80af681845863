/* seen.c: logons that were answered: none is answered twice within a day */
#include "config.h"

#include "keyd/seen.h"

#include <stdlib.h>

#define FIRST_SIZE 1024
/* Three quarters of it are SEEN_MAX. */
#define LAST_SIZE (SEEN_MAX / 3 * 4)

_Static_assert((LAST_SIZE & (LAST_SIZE - 1)) == 0, "slots are found by a mask");

uint64_t
seen_digest(const struct seen *s, const void *a, size_t an, const void *b, size_t bn)
{
	uint64_t digest = siphash(s->key, a, an, b, bn);

	return digest != 0 ? digest : 1;
}

/* Where it is, or would be. There is always an empty one. */
static uint64_t *
slot_of(const struct seen_half *h, uint64_t digest)
{
	size_t i = digest & (h->size - 1);

	while (h->slot[i] != 0 && h->slot[i] != digest)
		i = (i + 1) & (h->size - 1);
	return &h->slot[i];
}

static bool
half_has(const struct seen_half *h, uint64_t digest)
{
	return h->n > 0 && *slot_of(h, digest) == digest;
}

bool
seen_has(const struct seen *s, uint64_t digest)
{
	return half_has(&s->young, digest) || half_has(&s->old, digest);
}

static int
half_grow(struct seen_half *h)
{
	struct seen_half more = { .size = h->size == 0 ? FIRST_SIZE : 2 * h->size, .n = h->n };

	more.slot = calloc(more.size, sizeof(*more.slot));
	if (more.slot == NULL)
		return -1;
	for (size_t i = 0; i < h->size; i++)
		if (h->slot[i] != 0)
			*slot_of(&more, h->slot[i]) = h->slot[i];
	free(h->slot);
	*h = more;
	return 0;
}

int
seen_add(struct seen *s, uint64_t digest, uint64_t now_s)
{
	struct seen_half *h = &s->young;

	if (h->n >= SEEN_MAX || (h->n > 0 && now_s - s->since_s >= SEEN_S)) {
		free(s->old.slot);
		s->old = *h;
		*h = (struct seen_half){ .n = 0 };
	}
	if (h->n == 0)
		s->since_s = now_s;
	if (h->n >= h->size / 4 * 3 && h->size < LAST_SIZE && half_grow(h) == -1)
		return -1;
	if (half_has(h, digest))
		return 0;
	*slot_of(h, digest) = digest;
	h->n++;
	return 0;
}

void
seen_fini(struct seen *s)
{
	free(s->young.slot);
	free(s->old.slot);
	s->young = s->old = (struct seen_half){ .n = 0 };
}
