/* authent.c: pure: what tickets, authenticators and AP-REPs say, once they are decrypted */
#include "config.h"

#include "keyd/authent.h"

#include "auth/der.h"
#include "base/rd.h"

/* The kind of checksum that is GSS-API's, and its least length: Lgth, Bnd, Flags. */
#define GSS_CHECKSUM 0x8003
#define GSS_CHECKSUM_LEN 24

static unsigned
two_digits(struct rd *r)
{
	uint8_t a = rd_u8(r), b = rd_u8(r);

	if (a < '0' || a > '9' || b < '0' || b > '9')
		r->bad = true;
	return (a - '0') * 10u + (b - '0');
}

/* Days from 1970-01-01 to a day of the Gregorian calendar, whose year begins in March here. */
static int64_t
days_of(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* KerberosTime, "20261129003000Z", RFC 4120 5.2.3. */
static int64_t
kerberos_time(struct rd *r, uint8_t tag)
{
	struct rd outer = der_of(r, tag), in = der_of(&outer, DER_GENERALIZED_TIME);
	unsigned century = two_digits(&in), year = century * 100 + two_digits(&in),
	         month = two_digits(&in), day = two_digits(&in), hour = two_digits(&in),
	         minute = two_digits(&in), second = two_digits(&in);

	if (rd_u8(&in) != 'Z' || !rd_ok(&in) || year == 0 || month < 1 || month > 12 || day < 1 ||
	    day > 31 || hour > 23 || minute > 59 || second > 60) {
		r->bad = true;
		return 0;
	}
	return ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

/* A type and octets: EncryptionKey and Checksum, RFC 4120 5.2.9. */
static const uint8_t *
typed_octets(struct rd *r, uint8_t tag, uint32_t *type, size_t *n)
{
	struct rd outer = der_of(r, tag), in = der_of(&outer, DER_SEQUENCE), octets;
	const uint8_t *p;

	*type = der_u32(&in, DER_CONTEXT(0));
	outer = der_of(&in, DER_CONTEXT(1));
	octets = der_of(&outer, DER_OCTETS);
	*n = rd_left(&octets);
	p = rd_bytes(&octets, *n);
	if (!rd_ok(&in) || p == NULL)
		r->bad = true;
	return p;
}

static void
checksum(struct rd *r, struct authent *a)
{
	uint32_t type;
	size_t n;
	const uint8_t *p = typed_octets(r, DER_CONTEXT(3), &type, &n);
	struct rd in;

	if (p == NULL || type != GSS_CHECKSUM || n < GSS_CHECKSUM_LEN)
		return;
	in = rd_init(p, n);
	rd_skip(&in, 20);
	a->flags = rd_u32(&in);
	a->has_flags = true;
}

static void
subkey(struct rd *r, uint8_t tag, struct authent *a)
{
	uint32_t type;

	if (der_is(r, tag))
		a->subkey = typed_octets(r, tag, &type, &a->subkey_len);
}

static struct authent_text
text(struct rd *r)
{
	struct rd in = der_of(r, DER_GENERAL_STRING);
	struct authent_text t = { .n = rd_left(&in) };

	t.p = rd_bytes(&in, t.n);
	return t;
}

/* PrincipalName: a type, and the components, RFC 4120 5.2.2. */
static void
client_name(struct rd *r, struct authent_ticket *t)
{
	struct rd outer = der_of(r, DER_CONTEXT(3)), name = der_of(&outer, DER_SEQUENCE), parts;

	(void)der_of(&name, DER_CONTEXT(0));
	outer = der_of(&name, DER_CONTEXT(1));
	parts = der_of(&outer, DER_SEQUENCE);
	while (rd_left(&parts) > 0 && t->ncomponents < AUTHENT_COMPONENTS_MAX)
		t->component[t->ncomponents++] = text(&parts);
	if (!rd_ok(&parts) || rd_left(&parts) > 0)
		r->bad = true;
}

int
authent_ticket_get(struct authent_ticket *t, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), in = der_of(&r, DER_APPLICATION(3)), s, realm;

	*t = (struct authent_ticket){ .ncomponents = 0 };
	s = der_of(&in, DER_SEQUENCE);
	(void)der_of(&s, DER_CONTEXT(0));
	t->key = typed_octets(&s, DER_CONTEXT(1), &t->enctype, &t->key_len);
	realm = der_of(&s, DER_CONTEXT(2));
	t->realm = text(&realm);
	client_name(&s, t);
	return rd_ok(&s) && rd_ok(&realm) ? 0 : -1;
}

int
authent_get(struct authent *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), in = der_of(&r, DER_APPLICATION(2)), s;

	*a = (struct authent){ .ctime = 0 };
	s = der_of(&in, DER_SEQUENCE);
	(void)der_u32(&s, DER_CONTEXT(0));
	(void)der_of(&s, DER_CONTEXT(1));
	(void)der_of(&s, DER_CONTEXT(2));
	if (der_is(&s, DER_CONTEXT(3)))
		checksum(&s, a);
	a->cusec = der_u32(&s, DER_CONTEXT(4));
	a->ctime = kerberos_time(&s, DER_CONTEXT(5));
	subkey(&s, DER_CONTEXT(6), a);
	return rd_ok(&s) ? 0 : -1;
}

int
authent_reply_get(struct authent *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), in = der_of(&r, DER_APPLICATION(27)), s;

	*a = (struct authent){ .ctime = 0 };
	s = der_of(&in, DER_SEQUENCE);
	a->ctime = kerberos_time(&s, DER_CONTEXT(0));
	a->cusec = der_u32(&s, DER_CONTEXT(1));
	subkey(&s, DER_CONTEXT(2), a);
	return rd_ok(&s) ? 0 : -1;
}
