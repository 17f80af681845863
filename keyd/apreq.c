/* apreq.c: what an AP-REQ says in the clear, and what is in it */
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

static void
encrypted_data(struct rd *r, struct apreq_enc *e)
{
	struct rd enc = der_of(r, DER_SEQUENCE), outer, octets;

	e->enctype = der_u32(&enc, DER_CONTEXT(0));
	if (der_is(&enc, DER_CONTEXT(1)))
		(void)der_of(&enc, DER_CONTEXT(1));
	outer = der_of(&enc, DER_CONTEXT(2));
	octets = der_of(&outer, DER_OCTETS);
	e->n = rd_left(&octets);
	e->p = rd_bytes(&octets, e->n);
	if (!rd_ok(&enc) || !rd_ok(&octets))
		r->bad = true;
}

/* APOptions: bit 2 is mutual-required; the first octet says how many bits at the end are none. */
static bool
mutual_option(struct rd *r)
{
	struct rd bits = der_of(r, DER_BIT_STRING);

	rd_skip(&bits, 1);
	return (rd_u8(&bits) & 0x20) != 0;
}

static int
apreq_ticket(struct apreq *a, struct rd part)
{
	struct rd ticket, realm, name, enc, whole;

	part = der_of(&part, DER_APPLICATION(1));
	ticket = der_of(&part, DER_SEQUENCE);
	(void)der_u32(&ticket, DER_CONTEXT(0));
	realm = der_of(&ticket, DER_CONTEXT(1));
	name = der_of(&ticket, DER_CONTEXT(2));
	server_name(&name, a);
	apreq_append(a, (const uint8_t *)"@", 1);
	apreq_string(&realm, a);
	part = whole = der_of(&ticket, DER_CONTEXT(3));
	encrypted_data(&whole, &a->ticket);
	enc = der_of(&part, DER_SEQUENCE);
	a->enctype = der_u32(&enc, DER_CONTEXT(0));
	a->has_kvno = der_is(&enc, DER_CONTEXT(1));
	if (a->has_kvno)
		a->kvno = der_u32(&enc, DER_CONTEXT(1));
	/* A bad part makes everything bad that was taken out of it. */
	return rd_ok(&enc) && rd_ok(&whole) && rd_ok(&realm) && rd_ok(&name) ? 0 : -1;
}

int
apreq_get(struct apreq *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), req, part;

	*a = (struct apreq){ .enctype = 0 };
	req = der_of(&r, DER_APPLICATION(14));
	req = der_of(&req, DER_SEQUENCE);
	if (der_u32(&req, DER_CONTEXT(0)) != 5 || der_u32(&req, DER_CONTEXT(1)) != 14)
		return -1;
	part = der_of(&req, DER_CONTEXT(2));
	a->mutual = mutual_option(&part);
	part = der_of(&req, DER_CONTEXT(3));
	if (!rd_ok(&part) || apreq_ticket(a, part) == -1)
		return -1;
	part = der_of(&req, DER_CONTEXT(4));
	encrypted_data(&part, &a->authenticator);
	return rd_ok(&part) ? 0 : -1;
}

int
aprep_get(struct apreq_enc *e, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), rep, part;

	*e = (struct apreq_enc){ .n = 0 };
	rep = der_of(&r, DER_APPLICATION(15));
	rep = der_of(&rep, DER_SEQUENCE);
	if (der_u32(&rep, DER_CONTEXT(0)) != 5 || der_u32(&rep, DER_CONTEXT(1)) != 15)
		return -1;
	part = der_of(&rep, DER_CONTEXT(2));
	encrypted_data(&part, e);
	return rd_ok(&part) ? 0 : -1;
}
