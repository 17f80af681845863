/* exceptions.c: the exceptions of all proxies, kept in memory for the time without Redis */
#include "config.h"

#include "state/exceptions.h"

#include "base/hash.h"
#include "base/tlv.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/* Types are never used again for something else. */
enum { EXCEPTIONS_EXCEPTION = 1, EXCEPTION_ID = 1, EXCEPTION_RECORD = 2 };

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

void
exceptions_write(const struct exceptions *m, struct tlv_out *o)
{
	for (const struct exception *x = m->all; x != NULL; x = x->hh.next) {
		size_t at = tlv_begin(o, EXCEPTIONS_EXCEPTION);

		tlv_put(o, EXCEPTION_ID, x->id, NAMES_ID_LEN);
		tlv_put(o, EXCEPTION_RECORD, x->bytes, x->len);
		tlv_end(o, at);
	}
}

static void
read_exception(struct tlv_in *in, struct exceptions *m)
{
	struct tlv_in x = tlv_sub(in);
	uint8_t id[NAMES_ID_LEN];
	const uint8_t *record = NULL;
	struct record known;
	bool has_id = false;
	size_t len = 0;

	while (tlv_next(&x)) {
		if (x.type == EXCEPTION_ID) {
			tlv_copy(&x, id, sizeof(id));
			has_id = true;
		} else if (x.type == EXCEPTION_RECORD) {
			record = x.value;
			len = x.n;
		} else {
			tlv_unknown(&x);
		}
	}
	in->bad |= x.bad || !has_id || len == 0 || len > RECORD_MAX;
	if (!in->bad && !exceptions_get(m, id, &known))
		(void)!exceptions_put(m, id, (const char *)record, len);
}

int
exceptions_read(struct exceptions *m, const void *record, size_t n)
{
	struct tlv_in in = tlv_in(record, n);

	while (tlv_next(&in)) {
		if (in.type == EXCEPTIONS_EXCEPTION)
			read_exception(&in, m);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}
