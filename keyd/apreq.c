/* apreq.c: what an AP-REQ says in the clear about the key that it needs */
#include "config.h"

#include "keyd/apreq.h"

#include "base/rd.h"

#include <string.h>

#define APPLICATION(n) (0x60 | (n))
#define CONTEXT(n) (0xa0 | (n))
#define INTEGER 0x02
#define GENERAL_STRING 0x1b
#define SEQUENCE 0x30

/* The contents of the element that must come next; bad when it is another one. */
static struct rd
element(struct rd *r, uint8_t tag)
{
	uint8_t got = rd_u8(r), len = rd_u8(r);
	size_t n = len;
	struct rd sub;

	if (len >= 0x80) {
		n = 0;
		if (len == 0x80 || len > 0x84)
			r->bad = true;
		for (int i = 0; rd_ok(r) && i < (len & 0x7f); i++)
			n = n << 8 | rd_u8(r);
	}
	if (got != tag)
		r->bad = true;
	sub = rd_sub(r, r->pos, n);
	rd_skip(r, n);
	return sub;
}

/* Is the next element one with this tag? */
static bool
is_next(const struct rd *r, uint8_t tag)
{
	return rd_left(r) > 0 && r->base[r->pos] == tag;
}

static uint32_t
integer(struct rd *r, uint8_t tag)
{
	struct rd outer = element(r, tag), in = element(&outer, INTEGER);
	uint32_t v = 0;

	if (rd_left(&in) > 5 || !rd_ok(&in))
		r->bad = true;
	while (rd_left(&in) > 0)
		v = v << 8 | rd_u8(&in);
	return v;
}

static void
append(struct apreq *a, const uint8_t *p, size_t n)
{
	size_t used = strlen(a->server), room = sizeof(a->server) - 1 - used;

	if (p != NULL)
		memcpy(a->server + used, p, n < room ? n : room);
}

static void
string(struct rd *r, struct apreq *a)
{
	struct rd in = element(r, GENERAL_STRING);
	size_t n = rd_left(&in);
	const uint8_t *p = rd_bytes(&in, n);

	if (p == NULL || memchr(p, '\0', n) != NULL)
		r->bad = true;
	else
		append(a, p, n);
}

/* PrincipalName: the type, and a sequence of strings. */
static void
server_name(struct rd *r, struct apreq *a)
{
	struct rd name = element(r, SEQUENCE), outer, parts;

	(void)element(&name, CONTEXT(0));
	outer = element(&name, CONTEXT(1));
	parts = element(&outer, SEQUENCE);
	for (bool first = true; rd_left(&parts) > 0; first = false) {
		if (!first)
			append(a, (const uint8_t *)"/", 1);
		string(&parts, a);
	}
	if (!rd_ok(&parts))
		r->bad = true;
}

int
apreq_get(struct apreq *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), req, ticket, part, realm, name, enc;

	*a = (struct apreq){ .enctype = 0 };
	req = element(&r, APPLICATION(14));
	req = element(&req, SEQUENCE);
	if (integer(&req, CONTEXT(0)) != 5 || integer(&req, CONTEXT(1)) != 14)
		return -1;
	(void)element(&req, CONTEXT(2));
	part = element(&req, CONTEXT(3));
	part = element(&part, APPLICATION(1));
	ticket = element(&part, SEQUENCE);
	(void)integer(&ticket, CONTEXT(0));
	realm = element(&ticket, CONTEXT(1));
	name = element(&ticket, CONTEXT(2));
	server_name(&name, a);
	append(a, (const uint8_t *)"@", 1);
	string(&realm, a);
	part = element(&ticket, CONTEXT(3));
	enc = element(&part, SEQUENCE);
	a->enctype = integer(&enc, CONTEXT(0));
	a->has_kvno = is_next(&enc, CONTEXT(1));
	if (a->has_kvno)
		a->kvno = integer(&enc, CONTEXT(1));
	/* A bad part makes everything bad that was taken out of it. */
	return rd_ok(&enc) && rd_ok(&realm) && rd_ok(&name) ? 0 : -1;
}
