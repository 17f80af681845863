/* spnego.c: which mechanism's token a security buffer carries, and where in it */
#include "config.h"

#include "auth/spnego.h"

#include "auth/der.h"
#include "base/rd.h"

#include <stdbool.h>
#include <string.h>

/* The tags of SPNEGO, GSS framing and Kerberos messages. */
#define TAG_GSS DER_APPLICATION(0)		/* [RFC 2743] 3.1 */
#define TAG_AP_REQ DER_APPLICATION(14)		/* [RFC 4120] 5.5.1 */
#define TAG_AP_REP DER_APPLICATION(15)
#define TAG_KRB_ERROR DER_APPLICATION(30)
#define TAG_INIT DER_CONTEXT(0)			/* negTokenInit, [RFC 4178] 4.2 */
#define TAG_RESP DER_CONTEXT(1)			/* negTokenResp */
#define TAG_TOKEN DER_CONTEXT(2)		/* mechToken and responseToken alike */
#define TAG_MIC DER_CONTEXT(3)			/* the last field of both */

static const uint8_t oid_spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
static const uint8_t oid_krb5[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ms_krb5[] = { 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02 };

size_t
spnego_len(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint8_t tag;
	size_t len = der_head(&r, &tag);

	if (!rd_ok(&r) || (tag != TAG_GSS && tag != TAG_RESP))
		return 0;
	return r.pos + len;
}

static struct token
token_of(enum token_kind kind, const struct rd *r)
{
	return (struct token){ .kind = kind, .p = r->base, .len = r->len };
}

static const struct token nothing = { .kind = TOKEN_NONE };
static const struct token unread = { .kind = TOKEN_UNREAD };

static struct token
ntlm_token(const struct rd *in)
{
	static const enum token_kind kinds[] = { TOKEN_UNREAD, TOKEN_NTLM_NEGOTIATE,
		TOKEN_NTLM_CHALLENGE, TOKEN_NTLM_AUTHENTICATE };
	struct rd r = *in;
	uint32_t type;

	rd_skip(&r, 8);
	type = rd_u32(&r);
	if (!rd_ok(&r) || type == 0 || type >= sizeof(kinds) / sizeof(kinds[0]))
		return unread;
	return token_of(kinds[type], in);
}

/* [MS-NLMP] 2.2.1: what all its messages begin with. */
static bool
is_ntlm(const struct rd *r)
{
	return r->len >= 8 && memcmp(r->base, "NTLMSSP", 8) == 0;
}

static bool
is_oid(const struct rd *r, const uint8_t *oid, size_t n)
{
	return rd_ok(r) && r->len == n && memcmp(r->base, oid, n) == 0;
}

/* [RFC 4121] 4.1: two bytes say what follows the mechanism's name; its tag has to agree. */
static struct token
krb5_token(struct rd *in)
{
	const uint8_t *id = rd_bytes(in, 2);
	struct rd r = rd_sub(in, in->pos, rd_left(in));
	uint8_t tag;

	if (id == NULL || r.len == 0)
		return nothing;
	tag = r.base[0];
	if (id[0] == 1 && id[1] == 0 && tag == TAG_AP_REQ)
		return token_of(TOKEN_AP_REQ, &r);
	if (id[0] == 2 && id[1] == 0 && tag == TAG_AP_REP)
		return token_of(TOKEN_AP_REP, &r);
	if (id[0] == 3 && id[1] == 0 && tag == TAG_KRB_ERROR)
		return token_of(TOKEN_KRB_ERROR, &r);
	return nothing;
}

/* What follows the mechanism's name in GSS framing; of another mechanism it is not read. */
static struct token
gss_token(struct rd *in)
{
	struct rd oid = der_of(in, DER_OID);

	return is_oid(&oid, oid_krb5, sizeof(oid_krb5)) ||
	        is_oid(&oid, oid_ms_krb5, sizeof(oid_ms_krb5))
	    ? krb5_token(in)
	    : nothing;
}

/* A mechanism's own token, by its first bytes. */
static struct token
mech_token(struct rd r)
{
	struct rd whole = r, in;
	uint8_t tag;

	if (is_ntlm(&r))
		return ntlm_token(&r);
	in = der_next(&r, &tag);
	if (!rd_ok(&in))
		return nothing;
	switch (tag) {
	case TAG_GSS:
		return gss_token(&in);
	case TAG_AP_REQ:
		return token_of(TOKEN_AP_REQ, &whole);
	case TAG_AP_REP:
		return token_of(TOKEN_AP_REP, &whole);
	case TAG_KRB_ERROR:
		return token_of(TOKEN_KRB_ERROR, &whole);
	default:
		return nothing;
	}
}

/*
 * negTokenInit and negTokenResp are sequences of tagged fields in their order, and nothing else is
 * in there; [2] is the token in both.
 */
static struct token
spnego_fields(struct rd *in)
{
	struct rd seq = der_of(in, DER_SEQUENCE), value, octets = rd_init(NULL, 0);
	uint8_t tag, least = DER_CONTEXT(0);

	while (rd_left(&seq) > 0) {
		value = der_next(&seq, &tag);
		if (!rd_ok(&value) || tag < least || tag > TAG_MIC)
			return unread;
		least = tag + 1;
		if (tag != TAG_TOKEN)
			continue;
		octets = der_of(&value, DER_OCTETS);
		if (!rd_ok(&octets) || rd_left(&value) > 0)
			return unread;
	}
	if (!rd_ok(&seq) || rd_left(in) > 0)
		return unread;
	return octets.len == 0 ? nothing : mech_token(octets);
}

/* SPNEGO's first message, or what goes without SPNEGO. */
static struct token
first_token(struct rd r)
{
	const struct rd whole = r;
	struct rd in, next;
	struct token t;

	if (der_is(&r, TAG_GSS)) {
		in = der_of(&r, TAG_GSS);
		next = der_of(&in, DER_OID);
		if (is_oid(&next, oid_spnego, sizeof(oid_spnego))) {
			next = der_of(&in, TAG_INIT);
			return rd_ok(&next) && rd_left(&in) == 0 ? spnego_fields(&next) : unread;
		}
	}
	t = mech_token(whole);
	return t.kind == TOKEN_NONE ? unread : t;
}

struct token
spnego_token(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), resp;

	if (n == 0)
		return nothing;
	/* Without SPNEGO: looked for first, for it is cheap to tell. */
	if (is_ntlm(&r))
		return ntlm_token(&r);
	if (!der_is(&r, TAG_RESP))
		return first_token(r);
	resp = der_of(&r, TAG_RESP);
	return rd_ok(&resp) ? spnego_fields(&resp) : unread;
}
