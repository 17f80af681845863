/* samba.c: what Samba reads in a security buffer, by its own rules; no code of auth/ */
#include "config.h"

#include "t/fuzz/samba.h"

#include <string.h>

/*
 * One cursor over the whole buffer. An open value knows where it ends, and that is not compared
 * with the end of the value around it before that one is closed.
 */
struct asn1 {
	const uint8_t *p;
	size_t n, at;
	bool bad;
};

static uint8_t
asn1_byte(struct asn1 *a)
{
	if (a->bad || a->at >= a->n) {
		a->bad = true;
		return 0;
	}
	return a->p[a->at++];
}

/*
 * Opens a value and returns where it ends. The low seven bits of a long length say how many octets
 * there are; none counts as one. There may be a hundred, as long as the number fits into 64 bits;
 * then the low 32 of them count (4.17; later releases refuse what is longer than the message).
 */
static size_t
asn1_open(struct asn1 *a, uint8_t tag)
{
	uint64_t len;
	uint8_t b;

	if (asn1_byte(a) != tag)
		a->bad = true;
	b = asn1_byte(a);
	len = b;
	if (b & 0x80) {
		len = asn1_byte(a);
		for (int more = (b & 0x7f) - 1; more > 0 && !a->bad; more--) {
			if (len > UINT64_MAX >> 8)
				a->bad = true;
			len = len << 8 | asn1_byte(a);
		}
	}
	len &= UINT32_MAX;
	if (!a->bad && len > a->n - a->at)
		a->bad = true;
	return a->bad ? 0 : a->at + (size_t)len;
}

static void
asn1_close(struct asn1 *a, size_t end)
{
	if (a->at != end)
		a->bad = true;
}

/* Is there more before the end? To be past it is an error. */
static bool
asn1_more(struct asn1 *a, size_t end)
{
	if (a->at > end)
		a->bad = true;
	return !a->bad && a->at < end;
}

/* A value of bytes: skipped, and told. */
static const uint8_t *
asn1_bytes(struct asn1 *a, uint8_t tag, size_t *len)
{
	const size_t end = asn1_open(a, tag);
	const uint8_t *p = a->p + a->at;

	*len = a->bad ? 0 : end - a->at;
	if (!a->bad)
		a->at = end;
	return a->bad ? NULL : p;
}

/* An object identifier: two octets at least, of which the last ends a number. */
static const uint8_t *
asn1_oid(struct asn1 *a, size_t *len)
{
	const uint8_t *p = asn1_bytes(a, 0x06, len);

	if (p != NULL && (*len < 2 || (p[*len - 1] & 0x80) != 0))
		a->bad = true;
	return a->bad ? NULL : p;
}

/* The numbers of an identifier, as wide as an int: what overflows is lost. */
static bool
same_oid(const uint8_t *p, size_t n, const uint8_t *q, size_t m)
{
	size_t i = 1, j = 1;

	if (p == NULL || p[0] != q[0])
		return false;
	while (i < n && j < m) {
		uint32_t v = 0, w = 0;

		do
			v = v << 7 | (p[i] & 0x7f);
		while ((p[i++] & 0x80) != 0 && i < n);
		do
			w = w << 7 | (q[j] & 0x7f);
		while ((q[j++] & 0x80) != 0 && j < m);
		if (v != w)
			return false;
	}
	return i == n && j == m;
}

/* [0] of negTokenInit: the mechanisms. */
static void
read_mechs(struct asn1 *a)
{
	const size_t outer = asn1_open(a, 0xa0), inner = asn1_open(a, 0x30);
	size_t n;

	while (asn1_more(a, inner))
		(void)asn1_oid(a, &n);
	asn1_close(a, inner);
	asn1_close(a, outer);
}

/* [1] of negTokenInit is a bit string of an octet at least, of negTokenResp the mechanism. */
static void
read_second(struct asn1 *a, bool init)
{
	const size_t outer = asn1_open(a, 0xa1);
	size_t n = 1;

	if (!init)
		(void)asn1_oid(a, &n);
	else
		(void)asn1_bytes(a, 0x03, &n);
	if (n == 0)
		a->bad = true;
	asn1_close(a, outer);
}

/* [3]: a MIC, or what Windows 2000 has in its place. */
static void
read_mic(struct asn1 *a, bool init)
{
	const size_t outer = asn1_open(a, 0xa3);
	size_t n;

	if (!init || (a->at < a->n && a->p[a->at] == 0x04)) {
		(void)asn1_bytes(a, 0x04, &n);
	} else {
		const size_t seq = asn1_open(a, 0x30), hint = asn1_open(a, 0xa0);

		(void)asn1_bytes(a, 0x1b, &n);
		asn1_close(a, hint);
		asn1_close(a, seq);
	}
	asn1_close(a, outer);
}

/* [0] of negTokenResp: an enumeration of one octet. */
static void
read_state(struct asn1 *a)
{
	const size_t outer = asn1_open(a, 0xa0), inner = asn1_open(a, 0x0a);

	(void)asn1_byte(a);
	asn1_close(a, inner);
	asn1_close(a, outer);
}

/* Any field, in any order, any number of times: the last one counts. */
static void
read_fields(struct asn1 *a, bool init, struct samba_read *r)
{
	const size_t outer = asn1_open(a, init ? 0xa0 : 0xa1), seq = asn1_open(a, 0x30);
	size_t end;

	while (asn1_more(a, seq)) {
		switch (a->p[a->at]) {
		case 0xa0:
			if (init)
				read_mechs(a);
			else
				read_state(a);
			break;
		case 0xa1:
			read_second(a, init);
			break;
		case 0xa2:
			end = asn1_open(a, 0xa2);
			r->token = asn1_bytes(a, 0x04, &r->len);
			asn1_close(a, end);
			break;
		case 0xa3:
			read_mic(a, init);
			break;
		default:
			a->bad = true;
		}
	}
	asn1_close(a, seq);
	asn1_close(a, outer);
}

struct samba_read
samba_reads(const uint8_t *p, size_t n)
{
	static const uint8_t spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
	struct samba_read r = { .as = SAMBA_REFUSES };
	struct asn1 a = { .p = p, .n = n };
	const uint8_t *oid;
	size_t end, len;

	if (n > 0 && p[0] == 0xa1) {
		r.as = SAMBA_RESP;
		read_fields(&a, false, &r);
	} else if (n > 0 && p[0] == 0x60) {
		r.as = SAMBA_INIT;
		end = asn1_open(&a, 0x60);
		oid = asn1_oid(&a, &len);
		if (!same_oid(oid, len, spnego, sizeof(spnego)))
			a.bad = true;
		if (!a.bad)
			read_fields(&a, true, &r);
		asn1_close(&a, end);
	} else {
		a.bad = true;
	}
	/* What is no SPNEGO may still be a mechanism's own, by its first bytes. */
	return a.bad ? (struct samba_read){ .as = SAMBA_RAW, .token = p, .len = n } : r;
}

bool
samba_ntlm(const struct samba_read *r)
{
	return r->len >= 12 && memcmp(r->token, "NTLMSSP\0", 8) == 0;
}

bool
samba_names_user(const uint8_t *p, size_t n, bool unicode)
{
	/* Length, the same again, and where: anywhere in the message. */
	const uint8_t *f = p + 36, *user;
	size_t len, again, at;

	if (n < 44)
		return true;
	len = f[0] | (size_t)f[1] << 8;
	again = f[2] | (size_t)f[3] << 8;
	at = f[4] | (size_t)f[5] << 8 | (size_t)f[6] << 16 | (size_t)f[7] << 24;
	if (len == 0 && again == 0)
		return false;
	if (len != again || at + len > n || (unicode && (len & 1) != 0))
		return true;
	user = p + at;
	return len > 0 && (user[0] != 0 || (unicode && user[1] != 0));
}
