/* spnego.c: which mechanism's token a security buffer carries, and where it stands */
#include "config.h"

#include "auth/spnego.h"

#include "base/rd.h"

#include <stdbool.h>
#include <string.h>

/* DER tags, [X.690] 8.1.2; of SPNEGO and Kerberos the application ones. */
#define DER_OCTETS 0x04
#define DER_OID 0x06
#define DER_SEQUENCE 0x30
#define DER_GSS 0x60		/* [APPLICATION 0], [RFC 2743] 3.1 */
#define DER_AP_REQ 0x6e		/* [APPLICATION 14], [RFC 4120] 5.5.1 */
#define DER_AP_REP 0x6f
#define DER_KRB_ERROR 0x7e
#define DER_INIT 0xa0		/* negTokenInit */
#define DER_RESP 0xa1		/* negTokenResp */
#define DER_TOKEN 0xa2		/* mechToken and responseToken alike */

static const uint8_t oid_spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
static const uint8_t oid_krb5[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ms_krb5[] = { 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02 };

/* The length octets, [X.690] 8.1.3; more than four of them say nothing that fits a message. */
static size_t
der_length(struct rd *r)
{
	unsigned n = rd_u8(r);
	size_t len = 0;

	if (n < 0x80)
		return n;
	n &= 0x7f;
	if (n == 0 || n > 4)
		r->bad = true;
	for (; n > 0 && rd_ok(r); n--)
		len = len << 8 | rd_u8(r);
	return len;
}

/* The next value: *tag, and its contents as a reader of their own. */
static struct rd
der(struct rd *r, uint8_t *tag)
{
	struct rd in;
	size_t len;

	*tag = rd_u8(r);
	len = der_length(r);
	in = rd_sub(r, r->pos, len);
	rd_skip(r, len);
	return in;
}

/* The next value, which has to have this tag. */
static struct rd
der_of(struct rd *r, uint8_t tag)
{
	uint8_t found;
	struct rd in = der(r, &found);

	if (found != tag)
		in.bad = r->bad = true;
	return in;
}

size_t
spnego_len(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint8_t tag = rd_u8(&r);
	size_t len = der_length(&r);

	if (!rd_ok(&r) || (tag != DER_GSS && tag != DER_RESP))
		return 0;
	return r.pos + len;
}

static struct token
token(enum token_kind kind, const struct rd *r)
{
	return (struct token){ .kind = kind, .p = r->base, .len = r->len };
}

static const struct token nothing = { .kind = TOKEN_NONE };

static struct token
ntlm(const struct rd *in)
{
	static const enum token_kind kinds[] = { TOKEN_NONE, TOKEN_NTLM_NEGOTIATE,
		TOKEN_NTLM_CHALLENGE, TOKEN_NTLM_AUTHENTICATE };
	struct rd r = *in;
	uint32_t type;

	rd_skip(&r, 8);
	type = rd_u32(&r);
	if (!rd_ok(&r) || type == 0 || type >= sizeof(kinds) / sizeof(kinds[0]))
		return nothing;
	return token(kinds[type], in);
}

static bool
is(const struct rd *r, const uint8_t *oid, size_t n)
{
	return rd_ok(r) && r->len == n && memcmp(r->base, oid, n) == 0;
}

/* [RFC 4121] 4.1: two bytes say what follows the mechanism's name; its tag has to agree. */
static struct token
krb5(struct rd *in)
{
	const uint8_t *id = rd_bytes(in, 2);
	struct rd r = rd_sub(in, in->pos, rd_left(in));
	uint8_t tag;

	if (id == NULL || r.len == 0)
		return nothing;
	tag = r.base[0];
	if (id[0] == 1 && id[1] == 0 && tag == DER_AP_REQ)
		return token(TOKEN_AP_REQ, &r);
	if (id[0] == 2 && id[1] == 0 && tag == DER_AP_REP)
		return token(TOKEN_AP_REP, &r);
	if (id[0] == 3 && id[1] == 0 && tag == DER_KRB_ERROR)
		return token(TOKEN_KRB_ERROR, &r);
	return nothing;
}

static struct token bare(struct rd r, bool outer);

/* negTokenInit and negTokenResp are sequences of tagged fields; [2] is the token in both. */
static struct token
fields(struct rd *in)
{
	struct rd seq = der_of(in, DER_SEQUENCE), value, octets;
	uint8_t tag;

	while (rd_left(&seq) > 0) {
		value = der(&seq, &tag);
		if (tag != DER_TOKEN || !rd_ok(&value))
			continue;
		octets = der_of(&value, DER_OCTETS);
		return rd_ok(&octets) ? bare(octets, false) : nothing;
	}
	return nothing;
}

/* What stands behind the mechanism's name in GSS framing. */
static struct token
gss(struct rd *in, bool outer)
{
	struct rd oid = der_of(in, DER_OID), init;

	if (outer && is(&oid, oid_spnego, sizeof(oid_spnego))) {
		init = der_of(in, DER_INIT);
		return fields(&init);
	}
	if (is(&oid, oid_krb5, sizeof(oid_krb5)) || is(&oid, oid_ms_krb5, sizeof(oid_ms_krb5)))
		return krb5(in);
	return nothing;
}

/* A token by its first bytes; outer: it may be SPNEGO, which is never within SPNEGO. */
static struct token
bare(struct rd r, bool outer)
{
	struct rd whole = r, in;
	uint8_t tag;

	if (r.len >= 8 && memcmp(r.base, "NTLMSSP", 8) == 0)
		return ntlm(&r);
	in = der(&r, &tag);
	if (!rd_ok(&in))
		return nothing;
	switch (tag) {
	case DER_GSS:
		return gss(&in, outer);
	case DER_RESP:
		return outer ? fields(&in) : nothing;
	case DER_AP_REQ:
		return token(TOKEN_AP_REQ, &whole);
	case DER_AP_REP:
		return token(TOKEN_AP_REP, &whole);
	case DER_KRB_ERROR:
		return token(TOKEN_KRB_ERROR, &whole);
	default:
		return nothing;
	}
}

struct token
spnego_token(const uint8_t *p, size_t n)
{
	return bare(rd_init(p, n), true);
}
