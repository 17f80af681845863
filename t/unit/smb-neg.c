/* smb-neg.c: unit tests of NEGOTIATE (SMB1 and SMB2) and SESSION_SETUP */
#include "config.h"

#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/neg1.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Offsets from the SMB2 header on: [MS-SMB2] 2.2.3, 2.2.4. */
#define REQ_COUNT 66
#define REQ_CTX_OFF 92
#define REQ_CTX_COUNT 96
#define REQ_DIALECTS 100
#define RESP_DIALECT 68
#define RESP_CTX_COUNT 70
#define RESP_CAPS 88
#define RESP_BLOB_OFF 120
#define RESP_BLOB_LEN 122
#define RESP_CTX_OFF 124

static void
le16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
le32(uint8_t *p, uint32_t v)
{
	le16(p, v & 0xffff);
	le16(p + 2, v >> 16);
}

/* The getters' verdict on n bytes, in a block of exactly that size. */
static int
req_rc(const uint8_t *p, size_t n)
{
	uint8_t *msg = exact(p, n);
	struct neg2_req r;
	int rc = neg2_req_get(&r, msg, n);

	free(msg);
	return rc;
}

static int
resp_rc(const uint8_t *p, size_t n)
{
	uint8_t *msg = exact(p, n);
	struct neg2_resp r;
	int rc = neg2_resp_get(&r, msg, n);

	free(msg);
	return rc;
}

/* One field of a real message changed: size bytes at off (size 0: nothing). */
struct patch {
	size_t off, size;
	uint32_t value;
	int rc;
};

/* Every patch alone, each on a fresh copy of the named message, judged by rc_of. */
static void
check_patches(const char *name, const struct patch *patches, size_t count,
    int (*rc_of)(const uint8_t *, size_t))
{
	for (size_t i = 0; i < count; i++) {
		const struct patch *x = &patches[i];
		size_t n;
		uint8_t *p = vector(name, &n);

		if (x->size == 2)
			le16(p + x->off, x->value);
		else if (x->size == 4)
			le32(p + x->off, x->value);
		if (rc_of(p, n) != x->rc)
			fail_msg("%s: %#x at %zu: not %d", name, x->value, x->off, x->rc);
		free(p);
	}
}

/* Where a message of that kind may end: what is behind it is not read. */
static size_t
kind_end(enum vector_kind kind, const uint8_t *p, size_t n)
{
	return kind == VECTOR_NEG_REQ ? REQ_DIALECTS + 2 * (size_t)p[REQ_COUNT] : n;
}

/* The messages of these kinds are well formed whole, and never when something is cut off. */
static void
check_kind(enum vector_kind kind, unsigned at_least, int (*rc_of)(const uint8_t *, size_t))
{
	unsigned seen = 0;

	for (size_t i = 0; i < VECTORS; i++) {
		size_t n;
		uint8_t *p = unhex(vectors[i].hex, &n);
		int rc = rc_of(p, n);

		if (rc != (vectors[i].kind == kind ? 0 : -1))
			fail_msg("%s: %d", vectors[i].name, rc);
		if (vectors[i].kind == kind) {
			for (size_t cut = 0; cut < kind_end(kind, p, n); cut++) {
				if (rc_of(p, cut) != -1)
					fail_msg("%s: %zu of %zu bytes accepted", vectors[i].name,
					    cut, n);
			}
			seen++;
		}
		free(p);
	}
	assert_true(seen >= at_least);
}

static void
req_values(void **state)
{
	static const struct {
		const char *name;
		uint16_t mode;
		uint32_t caps;
		unsigned n;
		uint16_t max;
	} rows[] = {
		{ "ms-311-negotiate-req", 0, 0x3f, 5, 0x0311 },
		{ "300-negotiate-req", 1, 0x7f, 1, 0x0300 },
		{ "311-negotiate-req-gmac", 1, 0x7f, 1, 0x0311 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct neg2_req r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		assert_int_equal(neg2_req_get(&r, p, n), 0);
		assert_int_equal(r.security_mode, rows[i].mode);
		assert_int_equal(r.capabilities, rows[i].caps);
		assert_memory_equal(r.client_guid.b, p + 76, 16);
		assert_int_equal(r.ndialects, rows[i].n);
		assert_int_equal(r.max_dialect, rows[i].max);
		free(p);
	}
}

static void
req_cut(void **state)
{
	(void)state;
	/* Contexts are not read, and so may be cut: the node has its own word for that. */
	for (size_t cut = 0; cut <= 174; cut++) {
		size_t n;
		uint8_t *p = vector("ms-311-negotiate-req", &n), *q = exact(p, cut);

		assert_int_equal(n, 174);
		assert_int_equal(req_rc(q, cut), cut < 110 ? -1 : 0);
		free(q);
		free(p);
	}
}

static void
req_hostile(void **state)
{
	/*
	 * 174 bytes: dialects 100..110, contexts 112..158 (38 bytes of data) and 160..174 (6).
	 */
	static const struct patch patches[] = {
		{ 0, 0, 0, 0 },
		/* Not this message. */
		{ 0, 4, SMB1_PROTOCOL_ID, -1 }, { 4, 2, 63, -1 }, { 12, 2, SMB2_SESSION_SETUP, -1 },
		{ 16, 4, SMB2_FLAGS_SERVER_TO_REDIR, -1 }, { 64, 2, 35, -1 }, { 64, 2, 65, -1 },
		/* No more dialects than fit: the 37th ends with the message. */
		{ REQ_COUNT, 2, 0, -1 }, { REQ_COUNT, 2, 6, 0 }, { REQ_COUNT, 2, 37, 0 },
		{ REQ_COUNT, 2, 38, -1 }, { REQ_COUNT, 2, 65535, -1 },
		/* The list of contexts is the node's to judge. */
		{ REQ_CTX_COUNT, 2, 0, 0 }, { REQ_CTX_COUNT, 2, 3, 0 }, { REQ_CTX_COUNT, 2, 65535, 0 },
		{ REQ_CTX_OFF, 4, 0, 0 }, { REQ_CTX_OFF, 4, 104, 0 }, { REQ_CTX_OFF, 4, 116, 0 },
		{ REQ_CTX_OFF, 4, 174, 0 }, { REQ_CTX_OFF, 4, 0xffffffff, 0 },
		{ 114, 2, 65535, 0 }, { 162, 2, 65535, 0 },
	};

	(void)state;
	check_patches("ms-311-negotiate-req", patches, COUNT(patches), req_rc);
}

/* Without 3.1.1 the contexts' fields are ClientStartTime: any value is right. */
static void
req_old_dialects(void **state)
{
	size_t n;
	uint8_t *p = vector("ms-311-negotiate-req", &n);
	struct neg2_req r;

	(void)state;
	le16(p + REQ_DIALECTS + 8, 0x0302);
	memset(p + REQ_CTX_OFF, 0xff, 8);
	assert_int_equal(req_rc(p, n), 0);
	assert_int_equal(req_rc(p, 110), 0);
	assert_int_equal(req_rc(p, 109), -1);
	/* In any order; the greatest counts. */
	le16(p + REQ_DIALECTS, 0x0302);
	le16(p + REQ_DIALECTS + 2, 0x0202);
	le16(p + REQ_DIALECTS + 6, 0x0210);
	le16(p + REQ_DIALECTS + 8, 0x0202);
	assert_int_equal(neg2_req_get(&r, p, n), 0);
	assert_int_equal(r.max_dialect, 0x0302);
	free(p);
}

/* As smbd reads it: the greatest of any number, and the first that has a ClientGuid is 2.1. */
static void
req_dialects(void **state)
{
	static const struct {
		uint16_t dialect;
		bool has_guid;
	} rows[] = { { 0x0000, false }, { 0x0202, false }, { 0x020f, false }, { 0x0210, true },
		{ 0x02ff, true }, { 0x0311, true }, { 0x0999, true }, { 0xffff, true } };
	uint8_t msg[REQ_DIALECTS + 2 * 1000], *p;
	struct neg2_req r;
	size_t n;

	(void)state;
	p = vector("300-negotiate-req", &n);
	memcpy(msg, p, REQ_DIALECTS);
	free(p);
	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned nd = 1; nd <= 1000; nd += 37) {
			memset(msg + REQ_DIALECTS, 0, sizeof(msg) - REQ_DIALECTS);
			le16(msg + REQ_COUNT, nd);
			le16(msg + REQ_DIALECTS + 2 * (nd / 2), rows[i].dialect);
			assert_int_equal(neg2_req_get(&r, msg, REQ_DIALECTS + 2 * nd), 0);
			assert_int_equal(r.ndialects, nd);
			assert_int_equal(r.max_dialect, rows[i].dialect);
			assert_int_equal(neg2_req_has_guid(&r), rows[i].has_guid);
			assert_int_equal(req_rc(msg, REQ_DIALECTS + 2 * nd - 1), -1);
		}
}

static void
resp_values(void **state)
{
	static const struct {
		const char *name;
		uint16_t mode, dialect;
		uint32_t caps, max;
		size_t blob_len;
		uint16_t cipher, signing;
	} rows[] = {
		{ "ms-311-negotiate-resp", 1, 0x0311, 0x2f, 0x800000, 0x140, SMB2_CIPHER_AES128_GCM,
		    SMB2_SIGNING_AES_CMAC },
		{ "311-negotiate-resp-gmac", 3, 0x0311, 0x0f, 0x800000, 74, SMB2_CIPHER_AES128_GCM,
		    SMB2_SIGNING_AES_GMAC },
		{ "300-negotiate-resp", 1, 0x0300, 0x4f, 0x800000, 74, SMB2_CIPHER_AES128_CCM,
		    SMB2_SIGNING_AES_CMAC },
		{ "2ff-negotiate-resp", 1, 0x02ff, 0x07, 0x800000, 74, 0,
		    SMB2_SIGNING_HMAC_SHA256 },
		{ "202-negotiate-resp", 1, 0x0202, 0x01, 0x10000, 74, 0, SMB2_SIGNING_HMAC_SHA256 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct neg2_resp r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		assert_int_equal(neg2_resp_get(&r, p, n), 0);
		assert_int_equal(r.security_mode, rows[i].mode);
		assert_int_equal(r.dialect, rows[i].dialect);
		assert_memory_equal(r.server_guid.b, p + 72, 16);
		assert_int_equal(r.capabilities, rows[i].caps);
		assert_int_equal(r.max_transact, rows[i].max);
		assert_int_equal(r.max_read, rows[i].max);
		assert_int_equal(r.max_write, rows[i].max);
		assert_true(r.system_time >> 48 == 0x01d0 || r.system_time >> 48 == 0x01dd);
		assert_ptr_equal(r.blob, p + 128);
		assert_int_equal(r.blob_len, rows[i].blob_len);
		assert_int_equal(r.cipher, rows[i].cipher);
		assert_int_equal(r.signing, rows[i].signing);
		assert_false(r.compression);
		free(p);
	}
}

static void
resp_cut(void **state)
{
	(void)state;
	check_kind(VECTOR_NEG_RESP, 5, resp_rc);
}

static void
resp_hostile(void **state)
{
	/*
	 * 508 bytes: blob 128..448, contexts 448..494 (hash count at 456, salt length at 458) and
	 * 496..508 (count at 504, cipher at 506).
	 */
	static const struct patch patches[] = {
		{ 0, 0, 0, 0 },
		{ 12, 2, SMB2_IOCTL, -1 }, { 16, 4, 0, -1 }, { 64, 2, 64, -1 }, { 64, 2, 9, -1 },
		/* The blob: behind the fields, inside, not in the contexts. */
		{ RESP_BLOB_OFF, 2, 127, -1 }, { RESP_BLOB_OFF, 2, 0, -1 },
		{ RESP_BLOB_OFF, 2, 64, -1 },
		{ RESP_BLOB_OFF, 2, 129, -1 }, { RESP_BLOB_OFF, 2, 508, -1 },
		{ RESP_BLOB_OFF, 2, 65535, -1 }, { RESP_BLOB_LEN, 2, 321, -1 },
		{ RESP_BLOB_LEN, 2, 381, -1 }, { RESP_BLOB_LEN, 2, 65535, -1 },
		{ RESP_BLOB_LEN, 2, 319, 0 }, { RESP_BLOB_LEN, 2, 0, 0 },
		/* Nothing may be anywhere. */
		{ RESP_BLOB_OFF, 4, 0x0000ffff, 0 }, { RESP_BLOB_OFF, 4, 0, 0 },
		/* Contexts. */
		{ RESP_CTX_COUNT, 2, 0, 0 }, { RESP_CTX_COUNT, 2, 1, 0 },
		{ RESP_CTX_COUNT, 2, 3, -1 },
		{ RESP_CTX_COUNT, 2, 33, -1 }, { RESP_CTX_COUNT, 2, 65535, -1 },
		{ RESP_CTX_OFF, 4, 0, -1 }, { RESP_CTX_OFF, 4, 128, -1 },
		{ RESP_CTX_OFF, 4, 440, -1 },
		{ RESP_CTX_OFF, 4, 449, -1 }, { RESP_CTX_OFF, 4, 452, -1 },
		{ RESP_CTX_OFF, 4, 508, -1 },
		{ RESP_CTX_OFF, 4, 512, -1 }, { RESP_CTX_OFF, 4, 0xffffffff, -1 },
		{ RESP_CTX_OFF, 4, 0xfffffff8, -1 }, { 450, 2, 65535, -1 }, { 450, 2, 52, -1 },
		{ 450, 2, 41, -1 }, { 498, 2, 5, -1 },
		/* Unknown ones are left out, known ones must be there once at most. */
		{ 448, 2, 0x1234, 0 }, { 496, 2, 0x1234, 0 }, { 448, 2, 2, -1 }, { 496, 2, 1, -1 },
		/* Exactly one hash, a salt that fits, exactly one cipher. */
		{ 456, 2, 0, -1 }, { 456, 2, 2, -1 }, { 458, 2, 33, -1 }, { 458, 2, 65535, -1 },
		{ 458, 2, 31, 0 }, { 450, 2, 4, -1 }, { 504, 2, 0, -1 }, { 504, 2, 2, -1 },
		{ 498, 2, 2, -1 }, { 498, 2, 0, -1 },
		/* The second as a signing context; as a compression context it is too short. */
		{ 496, 2, 8, 0 }, { 496, 2, 3, -1 },
	};

	(void)state;
	check_patches("ms-311-negotiate-resp", patches, COUNT(patches), resp_rc);
}

static void
resp_implied(void **state)
{
	static const struct {
		const char *name;
		uint16_t dialect;
		uint32_t caps;
		uint16_t cipher, signing;
	} rows[] = {
		{ "300-negotiate-resp", 0x0202, 0x47, 0, SMB2_SIGNING_HMAC_SHA256 },
		{ "300-negotiate-resp", 0x0210, 0x47, 0, SMB2_SIGNING_HMAC_SHA256 },
		{ "300-negotiate-resp", 0x02ff, 0x47, 0, SMB2_SIGNING_HMAC_SHA256 },
		{ "300-negotiate-resp", 0x0300, 0x07, 0, SMB2_SIGNING_AES_CMAC },
		{ "300-negotiate-resp", 0x0300, 0x47, SMB2_CIPHER_AES128_CCM,
		    SMB2_SIGNING_AES_CMAC },
		{ "300-negotiate-resp", 0x0302, 0x40, SMB2_CIPHER_AES128_CCM,
		    SMB2_SIGNING_AES_CMAC },
		/* 3.1.1 says it in a context or not at all; the capability means nothing. */
		{ "300-negotiate-resp", 0x0311, 0x47, 0, SMB2_SIGNING_AES_CMAC },
		{ "ms-311-negotiate-resp", 0x0311, 0x00, SMB2_CIPHER_AES128_GCM,
		    SMB2_SIGNING_AES_CMAC },
		/* Before 3.1.1 contexts are not looked at. */
		{ "ms-311-negotiate-resp", 0x0302, 0x00, 0, SMB2_SIGNING_AES_CMAC },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct neg2_resp r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		le16(p + RESP_DIALECT, rows[i].dialect);
		le32(p + RESP_CAPS, rows[i].caps);
		/* The older answer has "1" in a field that 3.1.1 reads as a count. */
		if (rows[i].dialect == 0x0311 && p[RESP_CTX_OFF] == 0)
			le16(p + RESP_CTX_COUNT, 0);
		assert_int_equal(neg2_resp_get(&r, p, n), 0);
		assert_int_equal(r.cipher, rows[i].cipher);
		assert_int_equal(r.signing, rows[i].signing);
		free(p);
	}
}

/* A 3.1.1 answer of a real server and one more context behind its own. */
static void
resp_more_contexts(void **state)
{
	static const struct {
		uint16_t type, len;
		uint8_t data[12];
		int rc;
		bool compression;
	} rows[] = {
		{ SMB2_COMPRESSION_CAPABILITIES, 10, { 1, 0, 0, 0, 0, 0, 0, 0, 1, 0 }, 0, true },
		{ SMB2_COMPRESSION_CAPABILITIES, 12, { 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 4, 0 }, 0,
		    true },
		/* No algorithm in common. */
		{ SMB2_COMPRESSION_CAPABILITIES, 10, { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 0, false },
		{ SMB2_COMPRESSION_CAPABILITIES, 8, { 0 }, 0, false },
		{ SMB2_COMPRESSION_CAPABILITIES, 10, { 2, 0, 0, 0, 0, 0, 0, 0, 1, 0 }, -1, false },
		{ SMB2_COMPRESSION_CAPABILITIES, 12, { 0xff, 0xff }, -1, false },
		{ SMB2_COMPRESSION_CAPABILITIES, 7, { 0 }, -1, false },
		{ SMB2_SIGNING_CAPABILITIES, 4, { 1, 0, 1, 0 }, -1, false },
		{ SMB2_ENCRYPTION_CAPABILITIES, 4, { 1, 0, 2, 0 }, -1, false },
		{ SMB2_PREAUTH_INTEGRITY_CAPABILITIES, 6, { 1, 0, 0, 0, 1, 0 }, -1, false },
		{ 0x0007, 4, { 1, 0, 0, 0 }, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct neg2_resp r;
		size_t n, len;
		uint8_t *p = vector("311-negotiate-resp-gmac", &n), *msg;

		len = (n + 7) / 8 * 8;
		msg = calloc(1, len + 8 + rows[i].len);
		assert_non_null(msg);
		memcpy(msg, p, n);
		le16(msg + len, rows[i].type);
		le16(msg + len + 2, rows[i].len);
		memcpy(msg + len + 8, rows[i].data, rows[i].len);
		len += 8 + rows[i].len;
		le16(msg + RESP_CTX_COUNT, 4);
		if (neg2_resp_get(&r, msg, len) != rows[i].rc)
			fail_msg("row %zu: not %d", i, rows[i].rc);
		if (rows[i].rc == 0) {
			assert_int_equal(r.compression, rows[i].compression);
			assert_int_equal(r.signing, SMB2_SIGNING_AES_GMAC);
			assert_int_equal(r.cipher, SMB2_CIPHER_AES128_GCM);
		}
		free(msg);
		free(p);
	}
}

/* What smbgate answers to an SMB1 packet is what a server had answered, byte for byte. */
static void
resp_made(void **state)
{
	size_t n;
	uint8_t *p = vector("2ff-negotiate-resp", &n), out[256];
	struct neg2_resp r;
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	assert_int_equal(neg2_resp_get(&r, p, n), 0);
	neg2_resp_put(&w, &r);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), n);
	assert_memory_equal(out, p, n);
	w = wr_init(out, n - 1);
	neg2_resp_put(&w, &r);
	assert_false(wr_ok(&w));
	/* A length that its field cannot hold. */
	r.blob_len = 65536;
	w = wr_init(out, sizeof(out));
	neg2_resp_put(&w, &r);
	assert_false(wr_ok(&w));
	assert_int_equal(wr_len(&w), 0);
	free(p);
}

static void
probe_made(void **state)
{
	static const struct guid guid = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16 } };
	static const uint16_t dialects[] = { 0x0202, 0x0210, 0x0300, 0x0302, 0x0311 };
	/* Preauth (SHA-512, salt), ciphers (GCM, CCM), signing (GMAC, CMAC, HMAC) and paddings. */
	static const uint8_t contexts[] = {
		1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0,
		7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
		7, 7, 7, 7, 0, 0,
		2, 0, 6, 0, 0, 0, 0, 0, 2, 0, 2, 0, 1, 0, 0, 0,
		8, 0, 8, 0, 0, 0, 0, 0, 3, 0, 2, 0, 1, 0, 0, 0,
	};
	uint8_t salt[32], out[256], *msg;
	struct neg2_req r;
	struct hdr2 h;
	struct wr w;
	size_t len;

	(void)state;
	memset(salt, 7, sizeof(salt));
	/* Behind a transport header: alignment counts from the SMB2 header. */
	w = wr_init(out, sizeof(out));
	wr_u32(&w, 0);
	neg2_probe_put(&w, &guid, salt);
	assert_true(wr_ok(&w));
	len = wr_len(&w) - 4;
	msg = exact(out + 4, len);
	assert_int_equal(hdr2_get(&h, msg, len), 0);
	assert_true(h.message_id == 0 && h.session_id == 0 && h.flags == 0);
	assert_int_equal(h.credits, 1);
	assert_int_equal(neg2_req_get(&r, msg, len), 0);
	assert_int_equal(r.security_mode, SMB2_NEGOTIATE_SIGNING_ENABLED);
	assert_int_equal(r.capabilities, 0x7f);
	assert_true(guid_equal(&r.client_guid, &guid));
	assert_int_equal(r.ndialects, COUNT(dialects));
	for (size_t i = 0; i < COUNT(dialects); i++)
		assert_int_equal(msg[REQ_DIALECTS + 2 * i] | msg[REQ_DIALECTS + 2 * i + 1] << 8,
		    dialects[i]);
	assert_int_equal(r.max_dialect, 0x0311);
	assert_int_equal(msg[REQ_CTX_OFF], 112);
	assert_int_equal(msg[REQ_CTX_COUNT], 3);
	assert_int_equal(len, 112 + sizeof(contexts));
	assert_memory_equal(msg + 112, contexts, sizeof(contexts));
	for (size_t cut = 0; cut < REQ_DIALECTS + sizeof(dialects); cut++)
		assert_int_equal(req_rc(msg, cut), -1);
	free(msg);
	w = wr_init(out, len - 1);
	neg2_probe_put(&w, &guid, salt);
	assert_false(wr_ok(&w));
}

static int
sess_req_rc(const uint8_t *p, size_t n)
{
	uint8_t *msg = exact(p, n);
	struct sess2_req r;
	int rc = sess2_req_get(&r, msg, n);

	free(msg);
	return rc;
}

static int
sess_resp_rc(const uint8_t *p, size_t n)
{
	uint8_t *msg = exact(p, n);
	struct sess2_resp r;
	int rc = sess2_resp_get(&r, msg, n);

	free(msg);
	return rc;
}

static void
sess_request(void **state)
{
	static const struct {
		const char *name;
		uint8_t flags;
		size_t blob_len;
	} rows[] = {
		{ "ms-311-setup-req-1", 0, 74 }, { "ms-311-setup-req-2", 0, 463 },
		{ "ms-311-bind-req-1", SMB2_SESSION_FLAG_BINDING, 74 },
		{ "ms-311-bind-req-2", SMB2_SESSION_FLAG_BINDING, 463 },
	};
	/* 162 bytes: blob 88..162. */
	static const struct patch patches[] = {
		{ 0, 0, 0, 0 }, { 64, 2, 24, -1 }, { 64, 2, 9, -1 }, { 12, 2, SMB2_NEGOTIATE, -1 },
		{ 16, 4, SMB2_FLAGS_SERVER_TO_REDIR, -1 },
		{ 76, 2, 87, -1 }, { 76, 2, 0, -1 }, { 76, 2, 64, -1 }, { 76, 2, 89, -1 },
		{ 76, 2, 162, -1 }, { 76, 2, 65535, -1 }, { 78, 2, 75, -1 }, { 78, 2, 65535, -1 },
		{ 78, 2, 73, 0 }, { 78, 2, 0, 0 },
		{ 76, 4, 0x0000ffff, 0 }, { 76, 4, 0, 0 }, { 76, 4, 0x0001ffff, -1 },
		{ 76, 4, 0xffffffff, -1 },
	};

	(void)state;
	check_kind(VECTOR_SESS_REQ, 4, sess_req_rc);
	check_patches("ms-311-setup-req-1", patches, COUNT(patches), sess_req_rc);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sess2_req r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		le32(p + 80, 0x11223344);
		le32(p + 84, 0x55667788);
		assert_int_equal(sess2_req_get(&r, p, n), 0);
		assert_int_equal(r.flags, rows[i].flags);
		assert_int_equal(r.security_mode, 1);
		assert_int_equal(r.capabilities, 1);
		assert_true(r.previous_session_id == 0x5566778811223344);
		assert_ptr_equal(r.blob, p + 88);
		assert_int_equal(r.blob_len, rows[i].blob_len);
		free(p);
	}
}

static void
sess_response(void **state)
{
	static const struct {
		const char *name;
		size_t blob_len;
	} rows[] = {
		{ "ms-311-setup-resp-1", 179 }, { "ms-311-setup-resp-2", 29 },
		{ "ms-311-bind-resp-2", 29 }, { "300-setup-resp", 9 },
	};
	/* 101 bytes: blob 72..101. */
	static const struct patch patches[] = {
		{ 0, 0, 0, 0 }, { 64, 2, 8, -1 }, { 64, 2, 25, -1 }, { 12, 2, SMB2_LOGOFF, -1 },
		{ 16, 4, 0, -1 }, { 8, 4, STATUS_MORE_PROCESSING_REQUIRED, 0 },
		{ 8, 4, STATUS_REQUEST_NOT_ACCEPTED, -1 },
		{ 68, 2, 71, -1 }, { 68, 2, 0, -1 }, { 68, 2, 73, -1 }, { 68, 2, 65535, -1 },
		{ 70, 2, 30, -1 }, { 70, 2, 65535, -1 }, { 70, 2, 28, 0 }, { 70, 2, 0, 0 },
		{ 68, 4, 0x0000ffff, 0 }, { 68, 4, 0, 0 }, { 68, 4, 0xffffffff, -1 },
	};

	(void)state;
	check_kind(VECTOR_SESS_RESP, 5, sess_resp_rc);
	check_patches("ms-311-setup-resp-2", patches, COUNT(patches), sess_resp_rc);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sess2_resp r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		le16(p + 66, SMB2_SESSION_FLAG_ENCRYPT_DATA);
		assert_int_equal(sess2_resp_get(&r, p, n), 0);
		assert_int_equal(r.session_flags, SMB2_SESSION_FLAG_ENCRYPT_DATA);
		assert_ptr_equal(r.blob, p + 72);
		assert_int_equal(r.blob_len, rows[i].blob_len);
		free(p);
	}
}

static int
neg1_rc(const uint8_t *p, size_t n)
{
	uint8_t *msg = exact(p, n);
	struct neg1_req r;
	int rc = neg1_req_get(&r, msg, n);

	free(msg);
	return rc;
}

static void
neg1_requests(void **state)
{
	static const struct {
		const char *name;
		unsigned n;
		bool any, v202;
	} rows[] = {
		{ "smb1-multi-req", 4, true, true }, { "smb1-multi-202-req", 3, false, true },
		{ "smb1-no-dialect-req", 1, false, false },
	};

	(void)state;
	check_kind(VECTOR_SMB1, 3, neg1_rc);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct neg1_req r;
		size_t n;
		uint8_t *p = vector(rows[i].name, &n);

		assert_int_equal(neg1_req_get(&r, p, n), 0);
		assert_int_equal(r.ndialects, rows[i].n);
		assert_int_equal(r.smb2_any, rows[i].any);
		assert_int_equal(r.smb2_002, rows[i].v202);
		assert_int_equal(r.hdr.command, SMB1_COM_NEGOTIATE);
		free(p);
	}
}

/* n bytes behind a real header; ByteCount is bytes. */
static const struct {
	uint8_t words;
	uint16_t bytes;
	size_t n;
	const char *data;
	int rc;
	unsigned dialects;
	bool any;
} neg1_rows[] = {
	{ 0, 11, 11, "\x02SMB 2.\?\?\?", 0, 1, true },
	{ 0, 4, 4, "\x02" "a\0\x02", -1, 0, false },	/* no text */
	/* No NUL, or one behind ByteCount, as a recorded client has it. */
	{ 0, 4, 4, "\x02" "abc", 0, 1, false },
	{ 0, 4, 5, "\x02" "abc\0", 0, 1, false },
	{ 0, 10, 11, "\x02SMB 2.\?\?\?", 0, 1, true },
	{ 0, 6, 7, "\x02" "a\0\x02" "bc", 0, 2, false },
	{ 0, 3, 8, "\x02" "a\0trash", 0, 1, false },
	{ 0, 2, 2, "\x02\0", 0, 1, false },
	{ 0, 4, 4, "\x02\0\x02\0", 0, 2, false },
	{ 0, 3, 3, "\x02\0\0", -1, 0, false },		/* not a dialect */
	{ 0, 3, 3, "\x01" "a\0", -1, 0, false },
	{ 0, 0, 0, "", -1, 0, false },
	{ 0, 0, 3, "\x02" "a\0", -1, 0, false },
	{ 0, 1, 1, "\x02", -1, 0, false },
	{ 0, 4, 3, "\x02" "a\0", -1, 0, false },
	{ 0, 65535, 3, "\x02" "a\0", -1, 0, false },
	{ 1, 3, 3, "\x02" "a\0", -1, 0, false },
	/* Not the whole word. */
	{ 0, 10, 10, "\x02SMB 2.\?\?", 0, 1, false },
	{ 0, 12, 12, "\x02SMB 2.\?\?\? ", 0, 1, false },
	{ 0, 11, 11, "\x02smb 2.\?\?\?", 0, 1, false },
	{ 0, 13, 13, "\x02\0\x02SMB 2.\?\?\?", 0, 2, true },
};

static void
neg1_dialects(void **state)
{
	size_t hn;
	uint8_t *h = vector("smb1-multi-req", &hn);

	(void)state;
	for (size_t i = 0; i < COUNT(neg1_rows); i++) {
		size_t len = SMB1_HDR_LEN + 3 + neg1_rows[i].n;
		uint8_t *p = malloc(len);
		struct neg1_req r;
		int rc;

		assert_non_null(p);
		memcpy(p, h, SMB1_HDR_LEN);
		p[SMB1_HDR_LEN] = neg1_rows[i].words;
		le16(p + SMB1_HDR_LEN + 1, neg1_rows[i].bytes);
		memcpy(p + SMB1_HDR_LEN + 3, neg1_rows[i].data, neg1_rows[i].n);
		rc = neg1_req_get(&r, p, len);
		if (rc != neg1_rows[i].rc)
			fail_msg("row %zu: %d", i, rc);
		if (rc == 0) {
			assert_int_equal(r.ndialects, neg1_rows[i].dialects);
			assert_int_equal(r.smb2_any, neg1_rows[i].any);
			assert_false(r.smb2_002);
		}
		free(p);
	}
	/* An answer is no request, nor is another command. */
	h[9] |= SMB1_FLAGS_REPLY;
	assert_int_equal(neg1_rc(h, hn), -1);
	h[9] &= (uint8_t)~SMB1_FLAGS_REPLY;
	h[4] = SMB1_COM_SESSION_SETUP_ANDX;
	assert_int_equal(neg1_rc(h, hn), -1);
	free(h);
}

static void
neg1_header(void **state)
{
	/* [MS-CIFS] 2.2.3.1, every field another value. */
	static const uint8_t in[SMB1_HDR_LEN] = { 0xff, 'S', 'M', 'B', 0x72, 1, 2, 3, 4, 0x18, 0x53,
		0xc8, 5, 6, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 7, 8, 9, 10,
		11, 12, 13, 14 };
	struct hdr1 h;

	(void)state;
	for (size_t cut = 0; cut < sizeof(in); cut++) {
		uint8_t *p = exact(in, cut);

		assert_int_equal(hdr1_get(&h, p, cut), -1);
		free(p);
	}
	assert_int_equal(hdr1_get(&h, in, sizeof(in)), 0);
	assert_int_equal(h.command, 0x72);
	assert_int_equal(h.status, 0x04030201);
	assert_int_equal(h.flags, 0x18);
	assert_int_equal(h.flags2, 0xc853);
	assert_int_equal(h.pid_high, 0x0605);
	assert_int_equal(h.tid, 0x0807);
	assert_int_equal(h.pid, 0x0a09);
	assert_int_equal(h.uid, 0x0c0b);
	assert_int_equal(h.mid, 0x0e0d);
}

/* The refusal of a real server. */
static void
neg1_refusal(void **state)
{
	size_t n, want_n;
	uint8_t *p = vector("smb1-no-dialect-req", &n), out[64];
	uint8_t *want = vector("smb1-no-dialect-resp", &want_n);
	struct wr w = wr_init(out, sizeof(out));
	struct neg1_req r;
	struct hdr1 h;

	(void)state;
	assert_int_equal(neg1_req_get(&r, p, n), 0);
	neg1_refuse_put(&w, &r.hdr);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), want_n);
	assert_memory_equal(out, want, want_n);
	/* Nothing is signed, whatever the client had asked for. */
	r.hdr.flags2 |= 0x0014;
	w = wr_init(out, sizeof(out));
	neg1_refuse_put(&w, &r.hdr);
	assert_int_equal(hdr1_get(&h, out, wr_len(&w)), 0);
	assert_int_equal(h.flags2 & 0x0014, 0);
	free(p);
	free(want);
}

/* What probes of nodes that may know SMB1 alone send is what any server can read. */
static void
neg1_probe(void **state)
{
	uint8_t p[128];
	struct wr w = wr_init(p, sizeof(p));
	struct neg1_req r;

	(void)state;
	neg1_probe_put(&w);
	assert_true(wr_ok(&w));
	assert_int_equal(neg1_req_get(&r, p, wr_len(&w)), 0);
	assert_int_equal(r.ndialects, 3);
	assert_true(r.smb2_any && r.smb2_002);
	assert_false(neg1_resp_good(p, wr_len(&w)));
}

static void
neg1_answers(void **state)
{
	/* words and DialectIndex behind a header that is right, and what is changed in that. */
	static const struct {
		uint8_t words;
		uint16_t index;
		size_t at;
		uint8_t to;
		bool good;
	} rows[] = {
		{ 17, 0, 4, SMB1_COM_NEGOTIATE, true },
		{ 13, 5, 4, SMB1_COM_NEGOTIATE, true },
		{ 1, 0xffff, 4, SMB1_COM_NEGOTIATE, false },
		{ 0, 0, 4, SMB1_COM_NEGOTIATE, false },
		{ 17, 0, 4, SMB1_COM_SESSION_SETUP_ANDX, false },
		{ 17, 0, 5, 0x0d, false },		/* a status */
		{ 17, 0, 9, 0, false },			/* a request */
		{ 17, 0, 0, 0xfe, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t p[SMB1_HDR_LEN + 3] = { 0xff, 'S', 'M', 'B', SMB1_COM_NEGOTIATE };

		p[9] = SMB1_FLAGS_REPLY;
		p[SMB1_HDR_LEN] = rows[i].words;
		le16(p + SMB1_HDR_LEN + 1, rows[i].index);
		p[rows[i].at] = rows[i].to;
		assert_int_equal(neg1_resp_good(p, sizeof(p)), rows[i].good);
		for (size_t n = 0; n < sizeof(p); n++)
			assert_false(neg1_resp_good(p, n));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(req_values),
		cmocka_unit_test(req_cut),
		cmocka_unit_test(req_hostile),
		cmocka_unit_test(req_old_dialects),
		cmocka_unit_test(req_dialects),
		cmocka_unit_test(resp_values),
		cmocka_unit_test(resp_cut),
		cmocka_unit_test(resp_hostile),
		cmocka_unit_test(resp_implied),
		cmocka_unit_test(resp_more_contexts),
		cmocka_unit_test(resp_made),
		cmocka_unit_test(probe_made),
		cmocka_unit_test(sess_request),
		cmocka_unit_test(sess_response),
		cmocka_unit_test(neg1_requests),
		cmocka_unit_test(neg1_dialects),
		cmocka_unit_test(neg1_header),
		cmocka_unit_test(neg1_refusal),
		cmocka_unit_test(neg1_probe),
		cmocka_unit_test(neg1_answers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
