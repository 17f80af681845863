/* auth-tokens.c: unit tests of DER, of finding a mechanism's token, and of reading NTLM's */
#include "config.h"

#include "auth/der.h"
#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "t/unit/lib/vectors.h"
#include "t/unit/lib/walkauth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A little DER writer: values are built from the inside out. */
struct blob {
	size_t n;
	uint8_t b[1024];
};

static const uint8_t oid_spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
static const uint8_t oid_krb5[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ms_krb5[] = { 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ntlm[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a };

static struct blob
bytes(const void *p, size_t n)
{
	struct blob x = { .n = n };

	assert_true(n <= sizeof(x.b));
	memcpy(x.b, p, n);
	return x;
}

static struct blob
both(struct blob a, struct blob b)
{
	assert_true(b.n <= sizeof(a.b) - a.n);
	memcpy(a.b + a.n, b.b, b.n);
	a.n += b.n;
	return a;
}

/* The value in x with a tag; octets: how many more length octets than it needs. */
static struct blob
wrap_long(uint8_t tag, struct blob x, unsigned octets)
{
	unsigned need = x.n < 0x80 ? 0 : x.n < 0x100 ? 1 : 2;
	uint8_t head[8] = { tag };
	size_t n = 1;

	octets += need;
	if (octets == 0) {
		head[n++] = (uint8_t)x.n;
	} else {
		head[n++] = (uint8_t)(0x80 | octets);
		while (octets-- > 0)
			head[n++] = (uint8_t)(octets < sizeof(x.n) ? x.n >> 8 * octets : 0);
	}
	return both(bytes(head, n), x);
}

static struct blob
wrap(uint8_t tag, struct blob x)
{
	return wrap_long(tag, x, 0);
}

#define OID(o) wrap(0x06, bytes(o, sizeof(o)))

/* A Kerberos message as far as anyone looks at it. */
static struct blob
krb(uint8_t tag, size_t n)
{
	struct blob x = { .n = n };

	for (size_t i = 0; i < n; i++)
		x.b[i] = (uint8_t)(0x30 + i);
	return wrap(tag, x);
}

static struct blob
ntlm(uint32_t type, size_t n)
{
	struct blob x = bytes("NTLMSSP\0", 8);

	for (int i = 0; i < 4; i++)
		x.b[8 + i] = (uint8_t)(type >> 8 * i);
	x.n = n;
	return x;
}

/* [RFC 4121] 4.1. */
static struct blob
framed(struct blob oid, unsigned id, struct blob message)
{
	uint8_t two[2] = { (uint8_t)(id >> 8), (uint8_t)id };

	return wrap(0x60, both(oid, both(bytes(two, 2), message)));
}

/* [RFC 4178] 4.2.1: mechTypes, reqFlags, mechToken, mechListMIC. */
static struct blob
init_of(struct blob inner, bool all)
{
	static const uint8_t req_flags[] = { 0xa1, 0x04, 0x03, 0x02, 0x05, 0xa0 };
	struct blob seq = wrap(0xa0, wrap(0x30, both(OID(oid_ms_krb5), both(OID(oid_krb5),
	    OID(oid_ntlm)))));

	if (all)
		seq = both(seq, bytes(req_flags, sizeof(req_flags)));
	seq = both(seq, inner);
	if (all)
		seq = both(seq, wrap(0xa3, wrap(0x04, bytes("0123456789abcdef", 16))));
	return wrap(0x60, both(OID(oid_spnego), wrap(0xa0, wrap(0x30, seq))));
}

static struct blob
init(struct blob token, bool all)
{
	return init_of(wrap(0xa2, wrap(0x04, token)), all);
}

/* [RFC 4178] 4.2.2: negState, supportedMech, responseToken, mechListMIC. */
static struct blob
resp_of(struct blob inner, bool all)
{
	static const uint8_t neg_state[] = { 0xa0, 0x03, 0x0a, 0x01, 0x01 };
	struct blob seq = { .n = 0 };

	if (all)
		seq = both(bytes(neg_state, sizeof(neg_state)), wrap(0xa1, OID(oid_krb5)));
	seq = both(seq, inner);
	if (all)
		seq = both(seq, wrap(0xa3, wrap(0x04, bytes("0123456789abcdef", 16))));
	return wrap(0xa1, wrap(0x30, seq));
}

static struct blob
resp(struct blob token, bool all)
{
	return resp_of(wrap(0xa2, wrap(0x04, token)), all);
}

/* What is looked for in which buffer. */
struct found {
	enum token_kind kind;
	struct blob token, buffer;
};

#define FOUNDS_MAX 40

static size_t
founds(struct found *f)
{
	struct blob ap_req = krb(0x6e, 300), ap_rep = krb(0x6f, 90), error = krb(0x7e, 130),
	    n1 = ntlm(1, 40), n2 = ntlm(2, 60), n3 = ntlm(3, 88);
	struct found all[] = {
		{ TOKEN_AP_REQ, ap_req, init(framed(OID(oid_krb5), 0x0100, ap_req), false) },
		{ TOKEN_AP_REQ, ap_req, init(framed(OID(oid_krb5), 0x0100, ap_req), true) },
		{ TOKEN_AP_REQ, ap_req, init(framed(OID(oid_ms_krb5), 0x0100, ap_req), true) },
		{ TOKEN_AP_REQ, ap_req, resp(framed(OID(oid_krb5), 0x0100, ap_req), false) },
		{ TOKEN_AP_REP, ap_rep, resp(framed(OID(oid_krb5), 0x0200, ap_rep), true) },
		{ TOKEN_AP_REP, ap_rep, resp(framed(OID(oid_ms_krb5), 0x0200, ap_rep), false) },
		{ TOKEN_KRB_ERROR, error, resp(framed(OID(oid_krb5), 0x0300, error), true) },
		/* DCE style. */
		{ TOKEN_AP_REQ, ap_req, init(ap_req, true) },
		{ TOKEN_AP_REP, ap_rep, resp(ap_rep, true) },
		{ TOKEN_KRB_ERROR, error, resp(error, false) },
		{ TOKEN_AP_REQ, ap_req, ap_req },
		{ TOKEN_AP_REP, ap_rep, ap_rep },
		{ TOKEN_KRB_ERROR, error, error },
		/* Without SPNEGO. */
		{ TOKEN_AP_REQ, ap_req, framed(OID(oid_krb5), 0x0100, ap_req) },
		{ TOKEN_AP_REQ, ap_req, framed(OID(oid_ms_krb5), 0x0100, ap_req) },
		{ TOKEN_AP_REP, ap_rep, framed(OID(oid_krb5), 0x0200, ap_rep) },
		{ TOKEN_KRB_ERROR, error, framed(OID(oid_krb5), 0x0300, error) },
		{ TOKEN_NTLM_NEGOTIATE, n1, init(n1, false) },
		{ TOKEN_NTLM_CHALLENGE, n2, resp(n2, true) },
		{ TOKEN_NTLM_AUTHENTICATE, n3, resp(n3, false) },
		{ TOKEN_NTLM_NEGOTIATE, n1, n1 },
		{ TOKEN_NTLM_CHALLENGE, n2, n2 },
		{ TOKEN_NTLM_AUTHENTICATE, n3, n3 },
		{ TOKEN_NTLM_NEGOTIATE, ntlm(1, 12), ntlm(1, 12) },
		/* Lengths that are longer than they need be. */
		{ TOKEN_AP_REP, ap_rep, wrap_long(0xa1, wrap_long(0x30, wrap_long(0xa2,
		    wrap_long(0x04, ap_rep, 3), 2), 1), 3) },
		/* What comes behind a message is none of it. */
		{ TOKEN_NTLM_NEGOTIATE, n1, both(init(n1, true), n3) },
	};

	assert_true(COUNT(all) <= FOUNDS_MAX);
	memcpy(f, all, sizeof(all));
	return COUNT(all);
}

static void
token_found(void **state)
{
	struct found *f = calloc(FOUNDS_MAX, sizeof(*f));
	size_t count;

	(void)state;
	assert_non_null(f);
	count = founds(f);
	for (size_t i = 0; i < count; i++) {
		uint8_t *p = exact(f[i].buffer.b, f[i].buffer.n);
		struct token t = walk_token(p, f[i].buffer.n);

		assert_int_equal(t.kind, f[i].kind);
		assert_int_equal(t.len, f[i].token.n);
		assert_memory_equal(t.p, f[i].token.b, t.len);
		free(p);
	}
	free(f);
}

static void
no_tokens(const struct blob *none, size_t n, enum token_kind kind)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = exact(none[i].b, none[i].n);
		struct token t = walk_token(p, none[i].n);

		if (t.kind != kind)
			print_message("none[%u] is of kind %d\n", (unsigned)i, t.kind);
		assert_int_equal(t.kind, kind);
		free(p);
	}
}

/* Other messages of Kerberos's: MIC, wrap, user to user; and such as are none. */
static size_t
other_messages(struct blob *other)
{
	struct blob ap_req = krb(0x6e, 60), ap_rep = krb(0x6f, 60), no = { .n = 0 };
	const struct blob all[] = {
		framed(OID(oid_ntlm), 0x0100, ap_req),
		framed(wrap(0x06, bytes(oid_krb5, 8)), 0x0100, ap_req),
		framed(wrap(0x06, both(bytes(oid_krb5, 9), bytes("\1", 1))), 0x0100, ap_req),
		framed(wrap(0x05, bytes(oid_krb5, 9)), 0x0100, ap_req),
		framed(OID(oid_krb5), 0x0404, ap_req),
		framed(OID(oid_krb5), 0x0400, ap_req),
		framed(OID(oid_krb5), 0x0000, ap_req),
		framed(OID(oid_krb5), 0x0101, ap_req),
		framed(OID(oid_krb5), 0x0201, ap_rep),
		framed(OID(oid_krb5), 0x0301, krb(0x7e, 60)),
		framed(OID(oid_krb5), 0x0001, ap_req),
		framed(OID(oid_krb5), 0x0100, ap_rep),
		framed(OID(oid_krb5), 0x0200, ap_req),
		framed(OID(oid_krb5), 0x0300, ap_req),
		framed(OID(oid_krb5), 0x0100, no),
		framed(OID(oid_krb5), 0x0100, bytes("NTLMSSP\0\1\0\0\0", 12)),
		bytes("NEGOEXTS\1\0\0\0\0\0\0\0", 16),
		bytes("", 1),
	};

	memcpy(other, all, sizeof(all));
	return COUNT(all);
}

/* Within SPNEGO they are another mechanism's; alone nobody can say what a server makes of them. */
static void
token_none(void **state)
{
	struct blob no = { .n = 0 }, other[20];
	struct blob none[] = {
		no,
		/* States and MICs. */
		resp_of(no, false),
		resp_of(no, true),
		init_of(no, false),
		init_of(no, true),
		resp(no, false),
	};
	const size_t n = other_messages(other);

	(void)state;
	no_tokens(none, COUNT(none), TOKEN_NONE);
	no_tokens(other, n, TOKEN_UNREAD);
	for (size_t i = 0; i < n; i++) {
		struct blob wrapped[] = { init(other[i], false), init(other[i], true),
			resp(other[i], false), resp(other[i], true) };

		no_tokens(wrapped, COUNT(wrapped), TOKEN_NONE);
	}
	assert_int_equal(spnego_token(NULL, 0).kind, TOKEN_NONE);
	assert_int_equal(spnego_len(NULL, 0), 0);
}

/* What Samba reads, each its own way: it must not be read as anything else here. */
static void
token_twice(void **state)
{
	struct blob n1 = ntlm(1, 40), n3 = ntlm(3, 88), no = { .n = 0 };
	struct blob ap_req = framed(OID(oid_krb5), 0x0100, krb(0x6e, 60));
	struct blob both_ways[] = {
		/* The last one counts. */
		resp_of(both(wrap(0xa2, wrap(0x04, ap_req)), wrap(0xa2, wrap(0x04, n3))), false),
		init_of(both(wrap(0xa2, wrap(0x04, ap_req)), wrap(0xa2, wrap(0x04, n1))), false),
		init_of(both(wrap(0xa2, wrap(0x04, no)), wrap(0xa2, wrap(0x04, n1))), false),
		/* Out of order. */
		resp_of(both(wrap(0xa2, wrap(0x04, n3)), wrap(0xa0, no)), false),
		resp_of(both(wrap(0xa3, wrap(0x04, no)), wrap(0xa2, wrap(0x04, n3))), false),
		/* Fields that nobody knows, and something behind one. */
		resp_of(both(wrap(0xbf, no), wrap(0xa2, wrap(0x04, n1))), true),
		resp_of(both(wrap(0x00, n1), wrap(0xa2, wrap(0x04, n1))), false),
		resp_of(wrap(0xa2, both(wrap(0x04, ap_req), wrap(0x04, n1))), false),
		wrap(0xa1, both(wrap(0x30, wrap(0xa2, wrap(0x04, ap_req))),
		    wrap(0x30, wrap(0xa2, wrap(0x04, n1))))),
		wrap(0x60, both(OID(oid_spnego), both(wrap(0xa0, wrap(0x30, wrap(0xa2,
		    wrap(0x04, ap_req)))), wrap(0xa0, wrap(0x30, wrap(0xa2, wrap(0x04, n1))))))),
		/* Lengths of no octet, which Samba takes for one, and of five and nine. */
		bytes("\xa1\x80\x12\x30\x10\xa2\x0e\x04\x0cNTLMSSP\0\3\0\0\0", 21),
		bytes("\xa1\x13\x30\x11\xa2\x80\x0e\x04\x0cNTLMSSP\0\3\0\0\0", 21),
		resp_of(wrap_long(0xa2, wrap(0x04, n1), 5), false),
		/* Empty ones. */
		wrap(0xa1, no),
		wrap(0x60, no),
		wrap(0x60, OID(oid_spnego)),
		wrap(0x60, OID(oid_krb5)),
	};

	(void)state;
	no_tokens(both_ways, COUNT(both_ways), TOKEN_UNREAD);
}

static void
token_malformed(void **state)
{
	static const uint8_t endless[] = { 0xa1, 0x80, 0x30, 0x80, 0xa2, 0x80, 0, 0, 0, 0, 0, 0 };
	struct blob n1 = ntlm(1, 40), no = { .n = 0 };
	/* SPNEGO is no mechanism within SPNEGO. */
	struct blob nested[] = {
		init(init(n1, false), false),
		resp(resp(n1, false), false),
		resp(init(n1, false), false),
		init(resp(n1, false), false),
	};
	struct blob none[] = {
		/* The wrong way to wrap. */
		wrap(0xa0, wrap(0x30, wrap(0xa2, wrap(0x04, n1)))),
		wrap(0x30, wrap(0xa2, wrap(0x04, n1))),
		wrap(0xa1, wrap(0xa2, wrap(0x04, n1))),
		wrap(0x04, n1),
		resp_of(wrap(0xa2, n1), false),
		resp_of(wrap(0xa2, wrap(0x24, n1)), false),
		resp_of(wrap(0xa2, both(no, bytes("\x04\x29NTLMSSP\0\1\0\0\0", 14))), false),
		resp_of(wrap(0xa4, wrap(0x04, n1)), false),
		wrap(0x60, both(OID(oid_spnego), resp(n1, false))),
		/* A bad one first: what follows it is not believed. */
		resp_of(both(wrap(0xa2, n1), wrap(0xa2, wrap(0x04, n1))), false),
		/* Lengths that there are not. */
		bytes(endless, sizeof(endless)),
		wrap_long(0xa1, wrap(0x30, wrap(0xa2, wrap(0x04, n1))), 5),
		resp_of(wrap_long(0xa2, wrap(0x04, n1), 5), false),
		/* What is nearly NTLM. */
		ntlm(0, 40),
		ntlm(4, 40),
		ntlm(0x00000101, 40),
		ntlm(0x03000000, 40),
		ntlm(1, 11),
		bytes("NTLMSSPX\1\0\0\0", 12),
		bytes("NTLMSSP\0", 8),
		both(bytes("\0", 1), n1),
	};

	(void)state;
	no_tokens(nested, COUNT(nested), TOKEN_NONE);
	no_tokens(none, COUNT(none), TOKEN_UNREAD);
}

/* The security buffer of a SESSION_SETUP or NEGOTIATE, in a block of its own. */
static uint8_t *
buffer_of(const char *name, size_t *n_r)
{
	size_t n;
	uint8_t *p = vector(name, &n), *out;
	struct sess2_req req;
	struct sess2_resp answer;
	struct neg2_resp neg;

	if (sess2_req_get(&req, p, n) == 0) {
		out = exact(req.blob, *n_r = req.blob_len);
	} else if (sess2_resp_get(&answer, p, n) == 0) {
		out = exact(answer.blob, *n_r = answer.blob_len);
	} else {
		assert_int_equal(neg2_resp_get(&neg, p, n), 0);
		out = exact(neg.blob, *n_r = neg.blob_len);
	}
	free(p);
	return out;
}

static const struct {
	const char *name;
	enum token_kind kind;
	size_t len;
} published[] = {
	{ "ms-311-negotiate-resp", TOKEN_NONE, 0 },
	{ "ms-311-setup-req-1", TOKEN_NTLM_NEGOTIATE, 40 },
	{ "ms-311-setup-resp-1", TOKEN_NTLM_CHALLENGE, 148 },
	{ "ms-311-setup-req-2", TOKEN_NTLM_AUTHENTICATE, 422 },
	{ "ms-311-setup-resp-2", TOKEN_NONE, 0 },
	{ "ms-311-bind-req-1", TOKEN_NTLM_NEGOTIATE, 40 },
	{ "ms-311-bind-resp-1", TOKEN_NTLM_CHALLENGE, 148 },
	{ "ms-311-bind-req-2", TOKEN_NTLM_AUTHENTICATE, 422 },
	{ "ms-311-bind-resp-2", TOKEN_NONE, 0 },
	{ "300-setup-resp", TOKEN_NONE, 0 },
	{ "2ff-negotiate-resp", TOKEN_NONE, 0 },
};

static void
token_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(published); i++) {
		size_t n;
		uint8_t *p = buffer_of(published[i].name, &n);
		struct token t = walk_token(p, n);

		assert_int_equal(t.kind, published[i].kind);
		assert_int_equal(t.len, published[i].len);
		assert_int_equal(spnego_len(p, n), n);
		free(p);
	}
}

static bool
is_ntlm(const uint8_t *p, size_t n)
{
	return n >= 8 && memcmp(p, "NTLMSSP", 8) == 0;
}

/* Whatever a message is cut to, there is no token in it; NTLM's own does not say how long it is. */
static void
cut_all(const uint8_t *p, size_t n, size_t whole)
{
	for (size_t cut = 0; cut < whole; cut++) {
		uint8_t *q = exact(p, cut);
		struct token t = walk_token(q, cut);

		if (is_ntlm(p, n)) {
			assert_int_equal(t.kind <= TOKEN_UNREAD, cut < 12);
			assert_int_equal(t.len, cut < 12 ? 0 : cut);
		} else {
			assert_int_equal(t.kind, cut == 0 ? TOKEN_NONE : TOKEN_UNREAD);
		}
		free(q);
	}
}

/* Every byte with every value: walk_token() says what must hold. */
static void
mutate_all(const uint8_t *p, size_t n)
{
	uint8_t *q = exact(p, n);

	for (size_t i = 0; i < n; i++) {
		for (unsigned v = 0; v < 256; v++) {
			q[i] = (uint8_t)v;
			(void)walk_token(q, n);
			(void)walk_ntlm(q, n);
		}
		q[i] = p[i];
	}
	free(q);
}

static void
token_hostile(void **state)
{
	struct found *f = calloc(FOUNDS_MAX, sizeof(*f));
	size_t count, n;

	(void)state;
	assert_non_null(f);
	count = founds(f);
	for (size_t i = 0; i < count; i++) {
		size_t whole = spnego_len(f[i].buffer.b, f[i].buffer.n);

		cut_all(f[i].buffer.b, f[i].buffer.n, whole > 0 ? whole : f[i].buffer.n);
		mutate_all(f[i].buffer.b, f[i].buffer.n);
	}
	free(f);
	for (size_t i = 0; i < COUNT(published); i++) {
		uint8_t *p = buffer_of(published[i].name, &n);

		cut_all(p, n, n);
		mutate_all(p, n);
		free(p);
	}
}

/* Wrapped a million times: recursion would need more stack than there is. */
static void
token_nested(void **state)
{
	static const uint8_t gss_spnego[] = { 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
	static const uint8_t tags[][6] = { { 0x04, 0xa2, 0x30, 0xa1 },
		{ 0x04, 0xa2, 0x30, 0xa0, 0x60 }, { 0x60 }, { 0x30 }, { 0xa1 }, { 0xa2, 0x30 } };
	size_t size = 16 << 20;
	uint8_t *p = malloc(size);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < COUNT(tags); i++) {
		size_t start = size - 12, depth = 0;

		memcpy(p + start, "NTLMSSP\0\1\0\0\0", 12);
		while (start > 128) {
			for (size_t j = 0; tags[i][j] != 0; j++) {
				size_t n;

				if (tags[i][j] == 0x60) {
					start -= sizeof(gss_spnego);
					memcpy(p + start, gss_spnego, sizeof(gss_spnego));
				}
				n = size - start;
				start -= 6;
				p[start] = tags[i][j];
				p[start + 1] = 0x84;
				for (unsigned k = 0; k < 4; k++)
					p[start + 2 + k] = (uint8_t)(n >> 8 * (3 - k));
				depth++;
			}
		}
		assert_true(depth > 1000000);
		assert_int_equal(spnego_len(p + start, size - start),
		    p[start] == 0x60 || p[start] == 0xa1 ? size - start : 0);
		assert_true(walk_token(p + start, size - start).kind <= TOKEN_UNREAD);
	}
	free(p);
}

/* Fields side by side: the first that has no business there is the end. */
static void
token_wide(void **state)
{
	static const uint8_t tail[] = { 0xa2, 0x0e, 0x04, 0x0c, 'N', 'T', 'L', 'M', 'S', 'S', 'P',
		0, 1, 0, 0, 0 };
	size_t size = 12 + (4u << 20) + sizeof(tail);
	uint8_t *p = calloc(1, size);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < 2; i++) {
		size_t n = size - 6 - 6 * i;

		p[6 * i] = i == 0 ? 0xa1 : 0x30;
		p[6 * i + 1] = 0x84;
		for (unsigned k = 0; k < 4; k++)
			p[6 * i + 2 + k] = (uint8_t)(n >> 8 * (3 - k));
	}
	memcpy(p + size - sizeof(tail), tail, sizeof(tail));
	assert_int_equal(walk_token(p, size).kind, TOKEN_UNREAD);
	free(p);
}

/* How much is to come of a message that is sent in pieces. */
static void
length(void **state)
{
	static const struct {
		const char *hex;
		size_t len;
	} lens[] = {
		{ "60", 0 }, { "6000", 2 }, { "a17f", 0x81 }, { "6080", 0 }, { "6081", 0 },
		{ "608180", 0x83 }, { "6081ff", 0x102 }, { "608105", 8 }, { "6082", 0 },
		{ "608201", 0 }, { "60820100", 0x104 }, { "a183010000", 0x10005 },
		{ "608400ffffff", 0x1000005 }, { "6084000000", 0 }, { "60850000000001", 0 },
		{ "60ff", 0 }, { "a000", 0 }, { "3000", 0 }, { "6e00", 0 }, { "4e54", 0 }, { "0000", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lens); i++) {
		size_t n;
		uint8_t *p = unhex(lens[i].hex, &n);

		assert_int_equal(spnego_len(p, n), lens[i].len);
		(void)walk_token(p, n);
		free(p);
	}
	/* Each first part of a message says as much as the whole, once its length is there. */
	for (size_t i = 0; i < COUNT(published); i++) {
		size_t n;
		uint8_t *p = buffer_of(published[i].name, &n);

		for (size_t cut = 0; cut < n; cut++) {
			uint8_t *q = exact(p, cut);
			size_t head = n < 0x82 ? 2 : n < 0x103 ? 3 : 4;

			assert_int_equal(spnego_len(q, cut), cut < head ? 0 : n);
			free(q);
		}
		free(p);
	}
}

/* NTLM */

static void
utf16(const uint8_t *p, size_t n, const char *text)
{
	assert_int_equal(n, 2 * strlen(text));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i], i % 2 == 0 ? (uint8_t)text[i / 2] : 0);
}

static void
hex_equal(const uint8_t *p, const char *hex)
{
	size_t n;
	uint8_t *want = unhex(hex, &n);

	assert_memory_equal(p, want, n);
	free(want);
}

static void
ntlm_published(void **state)
{
	static const struct {
		const char *challenge_in, *challenge, *in, *proof, *key;
	} logons[] = {
		{ "ms-311-setup-resp-1", "0d1d8ba31179d008", "ms-311-setup-req-2",
			"63078eb639fe03e20a231c3ae3bf2308", "3b9bdff38f5ee8f9663f11a0f4c03a78" },
		{ "ms-311-bind-resp-1", "3823da68e32d2fe1", "ms-311-bind-req-2",
			"a46794da5d2033965d5339e1a675b79b", "c8c61d67ce697693891336917655ddd3" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(logons); i++) {
		size_t n;
		uint8_t *p = buffer_of(logons[i].challenge_in, &n);
		struct token t = walk_token(p, n);
		struct ntlm_auth a;

		assert_int_equal(t.kind, TOKEN_NTLM_CHALLENGE);
		hex_equal(t.p + 24, logons[i].challenge);
		assert_int_equal(ntlm_auth_get(&a, t.p, t.len), -1);
		free(p);
		p = buffer_of(logons[i].in, &n);
		t = walk_token(p, n);
		assert_int_equal(t.kind, TOKEN_NTLM_AUTHENTICATE);
		assert_int_equal(ntlm_auth_get(&a, t.p, t.len), 0);
		assert_int_equal(a.nt_len, 0xee);
		hex_equal(a.nt, logons[i].proof);
		assert_int_equal(a.lm_len, 24);
		utf16(a.domain, a.domain_len, "SUT311");
		utf16(a.user, a.user_len, "administrator");
		assert_int_equal(a.session_key_len, 16);
		hex_equal(a.session_key, logons[i].key);
		assert_int_equal(a.flags, 0xe2888215);
		assert_true(a.unicode);
		assert_int_equal(a.flags & NTLMSSP_NEGOTIATE_KEY_EXCH, NTLMSSP_NEGOTIATE_KEY_EXCH);
		assert_false(ntlm_anonymous(&a));
		free(p);
	}
}

#define NTLM_FIXED 64
#define FIELD(i) (12 + 8 * (i))
enum { LM, NT, DOMAIN, USER, WORKSTATION, SESSION_KEY, FIELDS };

static void
set_field(struct blob *x, unsigned i, uint16_t len, uint32_t off)
{
	uint8_t *p = x->b + FIELD(i);

	p[0] = (uint8_t)len;
	p[1] = (uint8_t)(len >> 8);
	for (unsigned k = 0; k < 4; k++)
		p[4 + k] = (uint8_t)(off >> 8 * k);
}

/* An AUTHENTICATE message with 16 bytes of each field. */
static struct blob
authenticate(void)
{
	struct blob x = ntlm(3, NTLM_FIXED + 16 * FIELDS);

	for (unsigned i = 0; i < FIELDS; i++) {
		set_field(&x, i, 16, NTLM_FIXED + 16 * i);
		memset(x.b + NTLM_FIXED + 16 * i, 'a' + (int)i, 16);
	}
	return x;
}

static int
get(struct ntlm_auth *a, const struct blob *x)
{
	uint8_t *p = exact(x->b, x->n);
	int rc = ntlm_auth_get(a, p, x->n);

	assert_int_equal(walk_ntlm(p, x->n), rc == 0);
	free(p);
	return rc;
}

static void
ntlm_fields(void **state)
{
	struct blob x = authenticate(), y;
	struct ntlm_auth a;

	(void)state;
	assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
	assert_int_equal(a.lm_len, 16);
	assert_ptr_equal(a.nt, x.b + NTLM_FIXED + 16 * NT);
	assert_ptr_equal(a.domain, x.b + NTLM_FIXED + 16 * DOMAIN);
	assert_ptr_equal(a.user, x.b + NTLM_FIXED + 16 * USER);
	assert_ptr_equal(a.session_key, x.b + NTLM_FIXED + 16 * SESSION_KEY);
	assert_int_equal(a.nt_len + a.domain_len + a.user_len + a.session_key_len, 64);
	assert_false(a.unicode);
	assert_int_equal(a.flags, 0);
	/* The last field ends with the message. */
	for (size_t cut = 0; cut < x.n; cut++) {
		y = bytes(x.b, cut);
		assert_int_equal(get(&a, &y), -1);
	}
	for (size_t bit = 0; bit < 96; bit++) {
		y = x;
		y.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(get(&a, &y), -1);
	}
	mutate_all(x.b, x.n);
}

static void
ntlm_field_places(void **state)
{
	struct blob x = authenticate(), y;
	struct ntlm_auth a;

	(void)state;
	for (unsigned i = 0; i < FIELDS; i++) {
		static const uint32_t beyond[] = { 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };
		uint32_t end = NTLM_FIXED + 16 * FIELDS;

		/* Up to the end, and past it. */
		y = x;
		set_field(&y, i, 1, end - 1);
		assert_int_equal(get(&a, &y), 0);
		set_field(&y, i, 2, end - 1);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, 1, end);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, 0xffff, NTLM_FIXED);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, (uint16_t)(end - NTLM_FIXED), NTLM_FIXED);
		assert_int_equal(get(&a, &y), 0);
		for (size_t j = 0; j < COUNT(beyond); j++) {
			set_field(&y, i, 16, beyond[j]);
			assert_int_equal(get(&a, &y), -1);
		}
		/* Over the fixed fields. */
		for (uint32_t off = 0; off < NTLM_FIXED; off++) {
			set_field(&y, i, 1, off);
			assert_int_equal(get(&a, &y), -1);
		}
		/* Where nothing is, does not matter. */
		set_field(&y, i, 0, 0);
		assert_int_equal(get(&a, &y), 0);
		set_field(&y, i, 0, 0xffffffff);
		assert_int_equal(get(&a, &y), 0);
	}
	/* Unlike the fixed ones they may share bytes. */
	for (unsigned i = 0; i < FIELDS; i++)
		set_field(&x, i, 96, NTLM_FIXED);
	assert_int_equal(get(&a, &x), 0);
	assert_int_equal(a.user_len, 96);
	x.b[60] = NTLMSSP_NEGOTIATE_UNICODE;
	assert_int_equal(get(&a, &x), 0);
	assert_true(a.unicode);
}

/* [MS-NLMP] 3.2.5.1.2. */
static void
ntlm_nobody(void **state)
{
	static const struct {
		uint16_t lm, nt, user;
		bool anonymous;
	} cases[] = {
		{ 0, 0, 0, true }, { 1, 0, 0, true }, { 2, 0, 0, false }, { 24, 0, 0, false },
		{ 0, 16, 0, false }, { 1, 24, 0, false }, { 0, 0, 2, false }, { 1, 0, 10, false },
		{ 24, 24, 10, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct blob x = authenticate();
		struct ntlm_auth a;

		set_field(&x, LM, cases[i].lm, NTLM_FIXED);
		set_field(&x, NT, cases[i].nt, NTLM_FIXED);
		set_field(&x, USER, cases[i].user, NTLM_FIXED);
		memset(x.b + NTLM_FIXED, 'x', 2);
		assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
		assert_int_equal(ntlm_anonymous(&a), cases[i].anonymous);
	}
}

/* A name ends at its NUL, in the character set that the server goes by. */
static void
ntlm_named(void **state)
{
	static const struct {
		char name[4];
		uint16_t len;
		bool oem, unicode;
	} cases[] = {
		{ "", 0, false, false }, { "\0\0", 2, false, false }, { "\0\0x\0", 4, false, false },
		{ "x\0", 2, true, true }, { "\0\1", 2, false, true }, { "xy", 2, true, true },
		{ "x", 1, true, true }, { "\0", 1, false, false },
	};
	struct blob challenge = ntlm(2, 60);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct blob x = authenticate();
		struct ntlm_auth a;

		set_field(&x, USER, cases[i].len, NTLM_FIXED);
		memcpy(x.b + NTLM_FIXED, cases[i].name, sizeof(cases[i].name));
		assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
		assert_int_equal(ntlm_names(&a, false), cases[i].oem);
		assert_int_equal(ntlm_names(&a, true), cases[i].unicode);
	}
	challenge.b[20] = NTLMSSP_NEGOTIATE_UNICODE;
	assert_true(ntlm_challenge_unicode(challenge.b, 24));
	assert_false(ntlm_challenge_unicode(challenge.b, 23));
	challenge.b[20] = 2;
	assert_false(ntlm_challenge_unicode(challenge.b, 24));
}

/* An OCTET STRING of n bytes, of which so many are there, with these length octets. */
struct der_case {
	uint8_t head[8];
	size_t head_len, there;
	bool head_good, good;
	size_t n;
};

static void
der_lengths(void **state)
{
	static const struct der_case cases[] = {
		{ { 0 }, 1, 0, true, true, 0 },
		{ { 1 }, 1, 1, true, true, 1 },
		{ { 0x7f }, 1, 0x7f, true, true, 0x7f },
		/* One to four octets behind the first. */
		{ { 0x81, 0x80 }, 2, 0x80, true, true, 0x80 },
		{ { 0x82, 0x01, 0x00 }, 3, 0x100, true, true, 0x100 },
		{ { 0x83, 0x01, 0x00, 0x00 }, 4, 0x10000, true, true, 0x10000 },
		{ { 0x84, 0x00, 0x01, 0x00, 0x01 }, 5, 0x10001, true, true, 0x10001 },
		/* More of them than needed. */
		{ { 0x81, 0x05 }, 2, 5, true, true, 5 },
		{ { 0x82, 0x00, 0x00 }, 3, 0, true, true, 0 },
		{ { 0x84, 0x00, 0x00, 0x00, 0x7f }, 5, 0x7f, true, true, 0x7f },
		/* Five and more; the indefinite form. */
		{ { 0x85, 0x00, 0x00, 0x00, 0x00, 0x01 }, 6, 1, false, false, 0 },
		{ { 0xff, 0x00, 0x00, 0x00, 0x00, 0x01 }, 6, 1, false, false, 0 },
		{ { 0x80 }, 1, 2, false, false, 0 },
		/* Cut: in the length octets, in the contents. */
		{ { 0 }, 0, 0, false, false, 0 },
		{ { 0x81 }, 1, 0, false, false, 0 },
		{ { 0x84, 0x00, 0x00, 0x00 }, 4, 0, false, false, 0 },
		{ { 2 }, 1, 1, true, false, 2 },
		{ { 0x82, 0x01, 0x00 }, 3, 0xff, true, false, 0x100 },
		/* Huge. */
		{ { 0x84, 0x7f, 0xff, 0xff, 0xff }, 5, 9, true, false, 0x7fffffff },
		{ { 0x84, 0xff, 0xff, 0xff, 0xff }, 5, 9, true, false, 0xffffffff },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct der_case *c = &cases[i];
		size_t len = 1 + c->head_len + c->there;
		uint8_t *block = calloc(1, len), tag = 0;
		struct rd r = rd_init(block, len), in;

		assert_non_null(block);
		block[0] = DER_OCTETS;
		memcpy(block + 1, c->head, c->head_len);
		assert_int_equal(der_head(&r, &tag), c->n);
		assert_int_equal(rd_ok(&r), c->head_good);
		assert_int_equal(tag, DER_OCTETS);
		r = rd_init(block, len);
		in = der_next(&r, &tag);
		assert_int_equal(rd_ok(&r), c->good);
		assert_int_equal(rd_ok(&in), c->good);
		assert_int_equal(rd_left(&in), c->good ? c->n : 0);
		assert_int_equal(rd_left(&r), c->good ? c->there - c->n : 0);
		if (c->good)
			assert_ptr_equal(in.base, block + 1 + c->head_len);
		free(block);
	}
}

static void
der_tags(void **state)
{
	static const uint8_t two[] = { DER_OID, 1, 7, DER_SEQUENCE, 2, 8, 9 };
	struct rd r = rd_init(two, sizeof(two)), in;

	(void)state;
	assert_true(der_is(&r, DER_OID));
	assert_false(der_is(&r, DER_SEQUENCE));
	in = der_of(&r, DER_OID);
	assert_int_equal(rd_u8(&in), 7);
	assert_true(der_is(&r, DER_SEQUENCE));
	in = der_of(&r, DER_SEQUENCE);
	assert_int_equal(rd_left(&in), 2);
	assert_true(rd_ok(&r));
	/* At the end there is nothing, of any tag. */
	assert_false(der_is(&r, 0));
	in = der_of(&r, 0);
	assert_false(rd_ok(&in));
	assert_false(rd_ok(&r));

	/* Another tag: nothing can be taken out of either any more. */
	r = rd_init(two, sizeof(two));
	in = der_of(&r, DER_SEQUENCE);
	assert_false(rd_ok(&in));
	assert_null(rd_bytes(&in, 1));
	assert_false(rd_ok(&r));
	assert_false(der_is(&r, DER_SEQUENCE));
}

static void
der_numbers(void **state)
{
	static const struct {
		uint8_t b[12];
		size_t n;
		bool good;
		uint32_t v;
	} cases[] = {
		{ { 0xa1, 3, DER_INTEGER, 1, 5 }, 5, true, 5 },
		{ { 0xa1, 4, DER_INTEGER, 2, 1, 0 }, 6, true, 256 },
		{ { 0xa1, 7, DER_INTEGER, 5, 0, 0xff, 0xff, 0xff, 0xff }, 9, true, 0xffffffff },
		{ { 0xa1, 3, DER_INTEGER, 1, 0xff }, 5, true, 0xff },
		{ { 0xa1, 8, DER_INTEGER, 6, 0, 0, 0, 0, 0, 1 }, 10, false, 0 },
		{ { 0xa2, 3, DER_INTEGER, 1, 5 }, 5, false, 0 },
		{ { 0xa1, 3, DER_OCTETS, 1, 5 }, 5, false, 0 },
		{ { 0xa1, 3, DER_INTEGER, 2, 5 }, 5, false, 0 },
		{ { 0xa1, 4, DER_INTEGER, 2, 5 }, 5, false, 0 },
		{ { 0xa1, 0 }, 2, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rd r = rd_init(cases[i].b, cases[i].n);
		uint32_t v = der_u32(&r, DER_CONTEXT(1));

		assert_int_equal(rd_ok(&r), cases[i].good);
		if (cases[i].good)
			assert_true(v == cases[i].v);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(der_lengths),
		cmocka_unit_test(der_tags),
		cmocka_unit_test(der_numbers),
		cmocka_unit_test(token_found),
		cmocka_unit_test(token_none),
		cmocka_unit_test(token_twice),
		cmocka_unit_test(token_malformed),
		cmocka_unit_test(token_published),
		cmocka_unit_test(token_hostile),
		cmocka_unit_test(token_nested),
		cmocka_unit_test(token_wide),
		cmocka_unit_test(length),
		cmocka_unit_test(ntlm_published),
		cmocka_unit_test(ntlm_fields),
		cmocka_unit_test(ntlm_field_places),
		cmocka_unit_test(ntlm_nobody),
		cmocka_unit_test(ntlm_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
