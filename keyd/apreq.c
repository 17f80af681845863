/* apreq.c: what an AP-REQ says in the clear about the key that it needs */
#include "config.h"

#include "keyd/apreq.h"

#include "auth/der.h"
#include "base/rd.h"

#include <string.h>

static void
apreq_append(struct apreq *a, const uint8_t *p, size_t n)
{
	size_t used = strlen(a->server), room = sizeof(a->server) - 1 - used;

	if (p != NULL)
		memcpy(a->server + used, p, n < room ? n : room);
}

static void
apreq_string(struct rd *r, struct apreq *a)
{
	struct rd in = der_of(r, DER_GENERAL_STRING);
	size_t n = rd_left(&in);
	const uint8_t *p = rd_bytes(&in, n);

	if (p == NULL || memchr(p, '\0', n) != NULL)
		r->bad = true;
	else
		apreq_append(a, p, n);
}

/* PrincipalName: the type, and a sequence of strings. */
static void
server_name(struct rd *r, struct apreq *a)
{
	struct rd name = der_of(r, DER_SEQUENCE), outer, parts;

	(void)der_of(&name, DER_CONTEXT(0));
	outer = der_of(&name, DER_CONTEXT(1));
	parts = der_of(&outer, DER_SEQUENCE);
	for (bool first = true; rd_left(&parts) > 0; first = false) {
		if (!first)
			apreq_append(a, (const uint8_t *)"/", 1);
		apreq_string(&parts, a);
	}
	if (!rd_ok(&parts))
		r->bad = true;
}

int
apreq_get(struct apreq *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), req, ticket, part, realm, name, enc;

	*a = (struct apreq){ .enctype = 0 };
	req = der_of(&r, DER_APPLICATION(14));
	req = der_of(&req, DER_SEQUENCE);
	if (der_u32(&req, DER_CONTEXT(0)) != 5 || der_u32(&req, DER_CONTEXT(1)) != 14)
		return -1;
	(void)der_of(&req, DER_CONTEXT(2));
	part = der_of(&req, DER_CONTEXT(3));
	part = der_of(&part, DER_APPLICATION(1));
	ticket = der_of(&part, DER_SEQUENCE);
	(void)der_u32(&ticket, DER_CONTEXT(0));
	realm = der_of(&ticket, DER_CONTEXT(1));
	name = der_of(&ticket, DER_CONTEXT(2));
	server_name(&name, a);
	apreq_append(a, (const uint8_t *)"@", 1);
	apreq_string(&realm, a);
	part = der_of(&ticket, DER_CONTEXT(3));
	enc = der_of(&part, DER_SEQUENCE);
	a->enctype = der_u32(&enc, DER_CONTEXT(0));
	a->has_kvno = der_is(&enc, DER_CONTEXT(1));
	if (a->has_kvno)
		a->kvno = der_u32(&enc, DER_CONTEXT(1));
	/* A bad part makes everything bad that was taken out of it. */
	return rd_ok(&enc) && rd_ok(&realm) && rd_ok(&name) ? 0 : -1;
}
