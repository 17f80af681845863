/* opens.c: how many files a session has open, by tree */
#include "config.h"

#include "inspect/opens.h"

#include "base/tlv.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Trees with open files, most sessions have one or two. Files of more than that have no tree. */
#define OPENS_TREES_MAX 64
/* More are open in no server. */
#define OPENS_FILES_MAX 0x7fffffffu

struct tree {
	uint32_t id;
	uint32_t files;
};

/*
 * Of some answers the tree is not known: they are kept apart, so that a tree that goes takes no
 * other one's files with it. total: what the trees have, and loose, less unplaced.
 */
struct opens {
	uint32_t total;
	uint32_t loose;		/* opened */
	uint32_t unplaced;	/* closed */
	unsigned n, cap;
	struct tree trees[];
};

static struct tree *
tree_find(struct opens *o, uint32_t id)
{
	for (unsigned i = 0; i < o->n; i++)
		if (o->trees[i].id == id)
			return &o->trees[i];
	return NULL;
}

static void
tree_drop(struct opens *o, struct tree *t)
{
	*t = o->trees[--o->n];
}

/* Room for one tree more. -1 when memory is out. */
static int
opens_grow(struct opens **op)
{
	unsigned cap = *op == NULL ? 2 : (*op)->cap * 2;
	struct opens *o;

	if (*op != NULL && (*op)->n < (*op)->cap)
		return 0;
	o = realloc(*op, sizeof(*o) + cap * sizeof(o->trees[0]));
	if (o == NULL)
		return -1;
	if (*op == NULL)
		memset(o, 0, sizeof(*o));
	o->cap = cap;
	*op = o;
	return 0;
}

int
opens_opened(struct opens **op, uint32_t id)
{
	struct tree *t = *op == NULL ? NULL : tree_find(*op, id);
	const bool full = *op != NULL && (*op)->n == OPENS_TREES_MAX;

	if (t == NULL && !full && opens_grow(op) == -1)
		return -1;
	if ((*op)->total + (*op)->unplaced == OPENS_FILES_MAX)
		return -1;
	(*op)->total++;
	if (t == NULL && (full || id == OPENS_NO_TREE)) {
		(*op)->loose++;
		return 0;
	}
	if (t == NULL) {
		t = &(*op)->trees[(*op)->n++];
		*t = (struct tree){ .id = id };
	}
	t->files++;
	return 0;
}

/* Once nothing is open, nothing is owed to any tree. */
static void
opens_settle(struct opens *o)
{
	if (o->total > 0)
		return;
	o->n = 0;
	o->loose = o->unplaced = 0;
}

void
opens_closed(struct opens *o, uint32_t id)
{
	struct tree *t = o == NULL ? NULL : tree_find(o, id);

	if (o == NULL || o->total == 0 || (t == NULL && id != OPENS_NO_TREE && o->loose == 0))
		return;
	if (t != NULL && --t->files == 0)
		tree_drop(o, t);
	else if (t == NULL && id == OPENS_NO_TREE)
		o->unplaced++;
	else if (t == NULL)
		o->loose--;
	o->total--;
	opens_settle(o);
}

void
opens_disconnected(struct opens *o, uint32_t id)
{
	struct tree *t = o == NULL ? NULL : tree_find(o, id);
	uint32_t closed;

	if (t == NULL)
		return;
	/* What has been closed somewhere was closed here, as far as possible. */
	closed = t->files < o->unplaced ? t->files : o->unplaced;
	o->unplaced -= closed;
	o->total -= t->files - closed;
	tree_drop(o, t);
	opens_settle(o);
}

unsigned
opens_total(const struct opens *o)
{
	return o == NULL ? 0 : o->total;
}

void
opens_free(struct opens **o)
{
	free(*o);
	*o = NULL;
}

enum { O_TOTAL = 1, O_LOOSE, O_UNPLACED, O_TREE, O_TREE_ID, O_TREE_FILES };

static const struct tlv_field opens_fields[] = {
	TLV_UINT(O_TOTAL, opens, total),
	TLV_UINT(O_LOOSE, opens, loose),
	TLV_UINT(O_UNPLACED, opens, unplaced),
};

static const struct tlv_field tree_fields[] = {
	TLV_UINT(O_TREE_ID, tree, id),
	TLV_UINT(O_TREE_FILES, tree, files),
};

void
opens_put(const struct opens *o, struct tlv_out *out)
{
	if (o == NULL)
		return;
	tlv_put_fields(out, o, opens_fields, sizeof(opens_fields) / sizeof(opens_fields[0]));
	for (unsigned i = 0; i < o->n; i++) {
		size_t at = tlv_begin(out, O_TREE);

		tlv_put_fields(out, &o->trees[i], tree_fields, 2);
		tlv_end(out, at);
	}
}

static int
tree_get(struct opens **op, struct tlv_in in)
{
	struct tree t = { .id = 0 };

	while (tlv_next(&in))
		if (!tlv_get_field(&in, &t, tree_fields, 2))
			tlv_unknown(&in);
	if (in.bad || t.files == 0 || tree_find(*op, t.id) != NULL || (*op)->n == OPENS_TREES_MAX ||
	    opens_grow(op) == -1)
		return -1;
	(*op)->trees[(*op)->n++] = t;
	return 0;
}

/* What is counted adds up. */
static bool
adds_up(const struct opens *o)
{
	uint64_t all = o->loose;

	for (unsigned i = 0; i < o->n; i++)
		all += o->trees[i].files;
	return all <= OPENS_FILES_MAX && all == (uint64_t)o->total + o->unplaced;
}

int
opens_get(struct opens **op, struct tlv_in in)
{
	if (opens_grow(op) == -1)
		return -1;
	while (tlv_next(&in)) {
		if (in.type == O_TREE) {
			if (tree_get(op, tlv_sub(&in)) == -1)
				return -1;
		} else if (!tlv_get_field(&in, *op, opens_fields,
		               sizeof(opens_fields) / sizeof(opens_fields[0]))) {
			tlv_unknown(&in);
		}
	}
	return in.bad || !adds_up(*op) ? -1 : 0;
}

bool
opens_same(const struct opens *a, const struct opens *b)
{
	if (opens_total(a) != opens_total(b))
		return false;
	return opens_total(a) == 0 ||
	    (a->n == b->n && a->loose == b->loose && a->unplaced == b->unplaced &&
	        memcmp(a->trees, b->trees, a->n * sizeof(a->trees[0])) == 0);
}
