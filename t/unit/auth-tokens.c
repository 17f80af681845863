/* auth-tokens.c: unit tests of finding a mechanism's token, and of how long its message is */
#include "config.h"

#include "auth/spnego.h"
#include "t/unit/lib/blob.h"
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

static const uint8_t oid_spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
static const uint8_t oid_krb5[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ms_krb5[] = { 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02 };
static const uint8_t oid_ntlm[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a };

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

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(token_found),
		cmocka_unit_test(token_none),
		cmocka_unit_test(token_twice),
		cmocka_unit_test(token_malformed),
		cmocka_unit_test(token_published),
		cmocka_unit_test(token_hostile),
		cmocka_unit_test(token_nested),
		cmocka_unit_test(token_wide),
		cmocka_unit_test(length),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
