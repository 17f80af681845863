/* neg2.c: SMB2 NEGOTIATE request and response with their negotiate contexts */
#include "config.h"

#include "smb/neg2.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"

/* StructureSize and where the variable part begins, from the SMB2 header on: 2.2.3, 2.2.4. */
#define REQ_SIZE 36
#define REQ_FIXED (SMB2_HDR_LEN + 36)
#define RESP_SIZE 65
#define RESP_FIXED (SMB2_HDR_LEN + 64)

#define SALT_LEN 32
#define HASH_SHA512 0x0001

/* The contexts that smbgate looks into; r[i] is meaningful where seen[i]. */
enum ctx_kind { CTX_PREAUTH, CTX_ENCRYPTION, CTX_COMPRESSION, CTX_SIGNING, CTX_KINDS };

struct ctxs {
	bool seen[CTX_KINDS];
	bool twice;
	struct rd r[CTX_KINDS];
};

static int
ctx_kind(uint16_t type)
{
	switch (type) {
	case SMB2_PREAUTH_INTEGRITY_CAPABILITIES:
		return CTX_PREAUTH;
	case SMB2_ENCRYPTION_CAPABILITIES:
		return CTX_ENCRYPTION;
	case SMB2_COMPRESSION_CAPABILITIES:
		return CTX_COMPRESSION;
	case SMB2_SIGNING_CAPABILITIES:
		return CTX_SIGNING;
	default:
		return -1;
	}
}

/*
 * Walks the context list of a response, [MS-SMB2] 2.2.4.1, that may not begin before `min`, the end
 * of what is in front of it. Every context is 8-aligned, counted from the SMB2 header.
 */
static int
ctxs_get(struct ctxs *c, struct rd *r, size_t off, unsigned count, size_t min)
{
	*c = (struct ctxs){ 0 };
	if (count == 0)
		return 0;
	if (count > NEG2_MAX_CONTEXTS || off < min || off % 8 != 0)
		return -1;
	rd_seek(r, off);
	for (unsigned i = 0; i < count; i++) {
		uint16_t type, len;
		size_t data;
		int kind;

		/* The last one has no padding behind it, so it belongs to the next. */
		rd_seek(r, (r->pos + 7) & ~(size_t)7);
		type = rd_u16(r);
		len = rd_u16(r);
		rd_skip(r, 4);
		data = r->pos;
		rd_skip(r, len);
		if (!rd_ok(r))
			return -1;
		kind = ctx_kind(type);
		if (kind < 0)
			continue;
		c->twice |= c->seen[kind];
		c->seen[kind] = true;
		c->r[kind] = rd_sub(r, data, len);
	}
	return 0;
}

/*
 * Takes out of the contexts of a response what was chosen. A server chooses exactly one hash,
 * cipher and signing algorithm: [MS-SMB2] 2.2.4.1.1, 2.2.4.1.2, 2.2.4.1.7.
 */
static int
chosen_get(struct neg2_resp *n, struct ctxs *c)
{
	struct rd *r;

	if (c->twice)
		return -1;
	if (c->seen[CTX_PREAUTH]) {
		uint16_t count, salt;

		r = &c->r[CTX_PREAUTH];
		count = rd_u16(r);
		salt = rd_u16(r);
		rd_skip(r, 2);
		rd_skip(r, salt);
		if (!rd_ok(r) || count != 1)
			return -1;
	}
	if (c->seen[CTX_ENCRYPTION]) {
		uint16_t count;

		r = &c->r[CTX_ENCRYPTION];
		count = rd_u16(r);
		n->cipher = rd_u16(r);
		if (!rd_ok(r) || count != 1)
			return -1;
	}
	if (c->seen[CTX_SIGNING]) {
		uint16_t count;

		r = &c->r[CTX_SIGNING];
		count = rd_u16(r);
		n->signing = rd_u16(r);
		if (!rd_ok(r) || count != 1)
			return -1;
	}
	if (c->seen[CTX_COMPRESSION]) {
		uint16_t count;

		r = &c->r[CTX_COMPRESSION];
		count = rd_u16(r);
		rd_skip(r, 2);
		n->chained = (rd_u32(r) & SMB2_COMPRESSION_CAPABILITIES_FLAG_CHAINED) != 0;
		/* "None in common" is one algorithm 0: [MS-SMB2] 3.3.5.4. */
		while (count-- > 0 && rd_ok(r))
			n->compression |= rd_u16(r) != 0;
		if (!rd_ok(r))
			return -1;
	}
	return 0;
}

int
neg2_req_get(struct neg2_req *n, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len);

	*n = (struct neg2_req){ 0 };
	if (!hdr2_is(msg, len, SMB2_NEGOTIATE, false))
		return -1;
	rd_skip(&r, SMB2_HDR_LEN);
	if (rd_u16(&r) != REQ_SIZE)
		return -1;
	n->ndialects = rd_u16(&r);
	n->security_mode = rd_u16(&r);
	rd_skip(&r, 2);
	n->capabilities = rd_u32(&r);
	rd_copy(&r, n->client_guid.b, sizeof(n->client_guid.b));
	/*
	 * ClientStartTime, or where 3.1.1 has its contexts. They are the node's to judge, which
	 * refuses what it cannot read: nothing here depends on what a client offers in them.
	 */
	rd_skip(&r, 8);
	for (unsigned i = 0; i < n->ndialects && rd_ok(&r); i++) {
		uint16_t d = rd_u16(&r);

		if (d > n->max_dialect)
			n->max_dialect = d;
		if (i == 0 || d < n->min_dialect)
			n->min_dialect = d;
	}
	return rd_ok(&r) && n->ndialects > 0 ? 0 : -1;
}

bool
neg2_req_has_guid(const struct neg2_req *n)
{
	return n->max_dialect >= SMB2_DIALECT_210;
}

int
neg2_resp_get(struct neg2_resp *n, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len), blob;
	uint16_t size, ctx_count, off, blen;
	uint32_t ctx_off;

	*n = (struct neg2_resp){ 0 };
	if (!hdr2_is(msg, len, SMB2_NEGOTIATE, true))
		return -1;
	rd_skip(&r, SMB2_HDR_LEN);
	size = rd_u16(&r);
	n->security_mode = rd_u16(&r);
	n->dialect = rd_u16(&r);
	ctx_count = rd_u16(&r);
	rd_copy(&r, n->server_guid.b, sizeof(n->server_guid.b));
	n->capabilities = rd_u32(&r);
	n->max_transact = rd_u32(&r);
	n->max_read = rd_u32(&r);
	n->max_write = rd_u32(&r);
	n->system_time = rd_u64(&r);
	n->start_time = rd_u64(&r);
	off = rd_u16(&r);
	blen = rd_u16(&r);
	ctx_off = rd_u32(&r);
	blob = hdr2_buffer(&r, off, blen, RESP_FIXED);
	if (!rd_ok(&r) || size != RESP_SIZE)
		return -1;
	n->blob = blob.base;
	n->blob_len = blen;

	/* Where no context says otherwise: [MS-SMB2] 3.2.5.2, 3.1.4.1. */
	n->signing = n->dialect >= SMB2_DIALECT_300 ? SMB2_SIGNING_AES_CMAC :
	    SMB2_SIGNING_HMAC_SHA256;
	if (n->dialect == SMB2_DIALECT_311) {
		size_t min = blen > 0 ? (size_t)off + blen : RESP_FIXED;
		struct ctxs ctxs;

		if (ctxs_get(&ctxs, &r, ctx_off, ctx_count, min) < 0 || chosen_get(n, &ctxs) < 0)
			return -1;
	} else if (n->dialect >= SMB2_DIALECT_300 &&
	    (n->capabilities & SMB2_GLOBAL_CAP_ENCRYPTION) != 0) {
		/* True only if the client has said so, too; its request is not seen here. */
		n->cipher = SMB2_CIPHER_AES128_CCM;
	}
	return 0;
}

void
neg2_resp_put(struct wr *w, const struct neg2_resp *n)
{
	struct hdr2 h = {
		.command = SMB2_NEGOTIATE,
		.credits = 1,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR,
	};

	if (n->blob_len > UINT16_MAX) {
		w->bad = true;
		return;
	}
	hdr2_put(w, &h);
	wr_u16(w, RESP_SIZE);
	wr_u16(w, n->security_mode);
	wr_u16(w, n->dialect);
	wr_u16(w, 0);
	wr_bytes(w, n->server_guid.b, sizeof(n->server_guid.b));
	wr_u32(w, n->capabilities);
	wr_u32(w, n->max_transact);
	wr_u32(w, n->max_read);
	wr_u32(w, n->max_write);
	wr_u64(w, n->system_time);
	wr_u64(w, n->start_time);
	wr_u16(w, RESP_FIXED);
	wr_u16(w, (uint16_t)n->blob_len);
	wr_u32(w, 0);
	wr_bytes(w, n->blob, n->blob_len);
}

/* A context's header, behind the padding of the one before; start is the SMB2 header's place. */
static void
ctx_put(struct wr *w, size_t start, uint16_t type, uint16_t len)
{
	wr_pad(w, start, 8);
	wr_u16(w, type);
	wr_u16(w, len);
	wr_u32(w, 0);
}

void
neg2_probe_put(struct wr *w, const struct guid *client_guid, const uint8_t salt[32])
{
	static const uint16_t dialects[] = { SMB2_DIALECT_202, SMB2_DIALECT_210, SMB2_DIALECT_300,
		SMB2_DIALECT_302, SMB2_DIALECT_311 };
	static const uint16_t ciphers[] = { SMB2_CIPHER_AES128_GCM, SMB2_CIPHER_AES128_CCM };
	static const uint16_t signings[] = { SMB2_SIGNING_AES_GMAC, SMB2_SIGNING_AES_CMAC,
		SMB2_SIGNING_HMAC_SHA256 };
	static const unsigned nd = sizeof(dialects) / sizeof(dialects[0]);
	static const unsigned nc = sizeof(ciphers) / sizeof(ciphers[0]);
	static const unsigned ns = sizeof(signings) / sizeof(signings[0]);
	struct hdr2 h = { .command = SMB2_NEGOTIATE, .credits = 1 };
	size_t start = wr_len(w);

	hdr2_put(w, &h);
	wr_u16(w, REQ_SIZE);
	wr_u16(w, (uint16_t)nd);
	wr_u16(w, SMB2_NEGOTIATE_SIGNING_ENABLED);
	wr_u16(w, 0);
	/* What a present client has, so that the answer is the one that clients get. */
	wr_u32(w, SMB2_GLOBAL_CAP_DFS | SMB2_GLOBAL_CAP_LEASING | SMB2_GLOBAL_CAP_LARGE_MTU |
	    SMB2_GLOBAL_CAP_MULTI_CHANNEL | SMB2_GLOBAL_CAP_PERSISTENT_HANDLES |
	    SMB2_GLOBAL_CAP_DIRECTORY_LEASING | SMB2_GLOBAL_CAP_ENCRYPTION);
	wr_bytes(w, client_guid->b, sizeof(client_guid->b));
	wr_u32(w, (REQ_FIXED + 2 * nd + 7) & ~7u);
	wr_u16(w, 3);
	wr_u16(w, 0);
	for (unsigned i = 0; i < nd; i++)
		wr_u16(w, dialects[i]);

	ctx_put(w, start, SMB2_PREAUTH_INTEGRITY_CAPABILITIES, 6 + SALT_LEN);
	wr_u16(w, 1);
	wr_u16(w, SALT_LEN);
	wr_u16(w, HASH_SHA512);
	wr_bytes(w, salt, SALT_LEN);
	ctx_put(w, start, SMB2_ENCRYPTION_CAPABILITIES, (uint16_t)(2 + 2 * nc));
	wr_u16(w, (uint16_t)nc);
	for (unsigned i = 0; i < nc; i++)
		wr_u16(w, ciphers[i]);
	ctx_put(w, start, SMB2_SIGNING_CAPABILITIES, (uint16_t)(2 + 2 * ns));
	wr_u16(w, (uint16_t)ns);
	for (unsigned i = 0; i < ns; i++)
		wr_u16(w, signings[i]);
}
