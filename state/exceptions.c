/* exceptions.c: the exceptions of all proxies, kept in memory for the time without Redis */
#include "config.h"

#include "state/exceptions.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct exception {
	uint8_t id[NAMES_ID_LEN];
	unsigned seen;		/* in that sweep */
	size_t len;
	UT_hash_handle hh;
	char bytes[];
};

struct exceptions {
	struct exception *all;
	unsigned sweep;
};

struct exceptions *
exceptions_new(void)
{
	return calloc(1, sizeof(struct exceptions));
}

static void
exception_forget(struct exceptions *m, struct exception *x)
{
	HASH_DEL(m->all, x);
	free(x);
}

void
exceptions_free(struct exceptions **mp)
{
	struct exception *x, *tmp;

	if (*mp == NULL)
		return;
	HASH_ITER(hh, (*mp)->all, x, tmp)
		exception_forget(*mp, x);
	free(*mp);
	*mp = NULL;
}

int
exceptions_put(struct exceptions *m, const uint8_t id[NAMES_ID_LEN], const char *record, size_t len)
{
	struct exception *x;

	HASH_FIND(hh, m->all, id, NAMES_ID_LEN, x);
	if (x != NULL && x->len == len && memcmp(x->bytes, record, len) == 0) {
		x->seen = m->sweep;
		return 0;
	}
	if (len > RECORD_MAX || (x == NULL && HASH_COUNT(m->all) >= EXCEPTIONS_MAX))
		return -1;
	if (x != NULL)
		exception_forget(m, x);
	x = malloc(sizeof(*x) + len);
	if (x == NULL)
		return -1;
	memcpy(x->id, id, NAMES_ID_LEN);
	memcpy(x->bytes, record, len);
	x->len = len;
	x->seen = m->sweep;
	HASH_ADD(hh, m->all, id, NAMES_ID_LEN, x);
	if (!hash_has(x)) {
		free(x);
		return -1;
	}
	return 0;
}

void
exceptions_drop(struct exceptions *m, const uint8_t id[NAMES_ID_LEN])
{
	struct exception *x;

	HASH_FIND(hh, m->all, id, NAMES_ID_LEN, x);
	if (x != NULL)
		exception_forget(m, x);
}

bool
exceptions_get(const struct exceptions *m, const uint8_t id[NAMES_ID_LEN], struct record *r)
{
	struct exception *x;

	HASH_FIND(hh, m->all, id, NAMES_ID_LEN, x);
	if (x == NULL)
		return false;
	memcpy(r->bytes, x->bytes, x->len);
	r->len = x->len;
	return true;
}

void
exceptions_swept(struct exceptions *m)
{
	struct exception *x, *tmp;

	/* Missing once may be chance: after a loss its proxy needs a moment to assert it again. */
	HASH_ITER(hh, m->all, x, tmp)
		if (m->sweep - x->seen >= 2)
			exception_forget(m, x);
	m->sweep++;
}

size_t
exceptions_count(const struct exceptions *m)
{
	return HASH_COUNT(m->all);
}
