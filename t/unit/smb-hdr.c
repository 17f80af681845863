/* smb-hdr.c: unit tests of SMB headers, compounds, IOCTL envelopes and self-made messages */
#include "config.h"

#include "base/wr.h"
#include "smb/chain2.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/hdr2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/xform.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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

static void
nbss_header(void **state)
{
	static const uint8_t in[4] = { 0x85, 0x01, 0x02, 0x03 };
	uint8_t out[4];
	struct nbss n;

	(void)state;
	assert_int_equal(nbss_get(&n, in, 4), 0);
	assert_int_equal(n.type, NBSS_KEEPALIVE);
	assert_int_equal(n.len, 0x010203);
	for (size_t i = 0; i < 4; i++) {
		uint8_t *p = exact(in, i);

		assert_int_equal(nbss_get(&n, p, i), -1);
		free(p);
	}
	nbss_put(out, 0xfffffe);
	assert_int_equal(nbss_get(&n, out, 4), 0);
	assert_int_equal(n.type, NBSS_MESSAGE);
	assert_int_equal(n.len, 0xfffffe);
}

/* A frame's header is written behind its message; what cannot be a frame is bad. */
static void
nbss_frame(void **state)
{
	uint8_t out[8];
	struct wr w = wr_init(out, sizeof(out));
	struct nbss n;

	(void)state;
	nbss_begin(&w);
	wr_u16(&w, 0xabcd);
	nbss_end(&w);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), NBSS_HDR_LEN + 2);
	assert_int_equal(nbss_get(&n, out, wr_len(&w)), 0);
	assert_int_equal(n.type, NBSS_MESSAGE);
	assert_int_equal(n.len, 2);
	w = wr_init(out, sizeof(out));
	nbss_end(&w);
	assert_false(wr_ok(&w));
	w = wr_init(out, 5);
	nbss_begin(&w);
	wr_u16(&w, 1);
	nbss_end(&w);
	assert_false(wr_ok(&w));
}

/* Command and direction; buffers by offset and length. */
static void
hdr_kinds(void **state)
{
	uint8_t out[SMB2_HDR_LEN + 8];
	struct hdr2 h = { .command = SMB2_ECHO, .flags = SMB2_FLAGS_SERVER_TO_REDIR };
	struct wr w = wr_init(out, sizeof(out));
	static const struct {
		size_t off, n;
		bool good;
	} buffers[] = {
		{ 66, 6, true }, { 66, 1, true }, { 71, 1, true }, { 65, 1, false }, { 0, 1, false },
		{ 66, 7, false }, { 72, 1, false }, { SIZE_MAX, 1, false }, { 66, SIZE_MAX, false },
		{ 0, 0, true }, { SIZE_MAX, 0, true },
	};

	(void)state;
	hdr2_put(&w, &h);
	wr_zero(&w, 8);
	assert_true(hdr2_is(out, sizeof(out), SMB2_ECHO, true));
	assert_false(hdr2_is(out, sizeof(out), SMB2_ECHO, false));
	assert_false(hdr2_is(out, sizeof(out), SMB2_READ, true));
	assert_false(hdr2_is(out, SMB2_HDR_LEN - 1, SMB2_ECHO, true));
	for (size_t i = 0; i < COUNT(buffers); i++) {
		struct rd r = rd_init(out, sizeof(out));
		struct rd in = hdr2_buffer(&r, buffers[i].off, buffers[i].n, SMB2_HDR_LEN + 2);

		assert_int_equal(rd_ok(&r), buffers[i].good);
		assert_int_equal(rd_ok(&in), buffers[i].good);
		if (!buffers[i].good)
			continue;
		assert_int_equal(rd_left(&in), buffers[i].n);
		assert_ptr_equal(in.base, buffers[i].n > 0 ? out + buffers[i].off : out);
	}
}

static void
hdr_fields(void **state)
{
	struct hdr2 h;
	uint8_t *p;
	size_t n;

	(void)state;
	p = vector("ms-311-setup-resp-2", &n);
	assert_int_equal(hdr2_get(&h, p, n), 0);
	assert_int_equal(h.command, SMB2_SESSION_SETUP);
	assert_int_equal(h.status, STATUS_SUCCESS);
	assert_int_equal(h.credit_charge, 1);
	assert_int_equal(h.credits, 128);
	assert_int_equal(h.flags, SMB2_FLAGS_SERVER_TO_REDIR | SMB2_FLAGS_SIGNED);
	assert_int_equal(h.next, 0);
	assert_int_equal(h.message_id, 3);
	assert_int_equal(h.process_id, 0xfeff);
	assert_int_equal(h.tree_id, 0);
	assert_int_equal(h.async_id, 0);
	assert_true(h.session_id == 0x100000000019);
	assert_memory_equal(h.signature, p + 48, 16);
	free(p);

	p = vector("ms-311-setup-resp-1", &n);
	assert_int_equal(hdr2_get(&h, p, n), 0);
	assert_int_equal(h.status, STATUS_MORE_PROCESSING_REQUIRED);
	free(p);
}

static void
hdr_async(void **state)
{
	size_t n;
	uint8_t *p = vector("302-cancel-async-req", &n);
	struct hdr2 h;

	(void)state;
	assert_int_equal(hdr2_get(&h, p, n), 0);
	assert_int_equal(h.command, SMB2_CANCEL);
	assert_int_equal(h.flags, SMB2_FLAGS_ASYNC_COMMAND);
	assert_true(h.async_id == 9);
	/* The bytes of the AsyncId are no TreeId. */
	assert_int_equal(h.tree_id, 0);
	assert_int_equal(h.process_id, 0);
	assert_true(h.session_id == 0xa18e4a0f);
	free(p);
}

/* Every real header is the same bytes when it is written again; a shorter one is none. */
static void
hdr_round_trip(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t out[SMB2_HDR_LEN], *p;
		struct hdr2 h;
		struct wr w = wr_init(out, sizeof(out));
		size_t n;

		p = unhex(vectors[i].hex, &n);
		if (p[0] == 0xfe) {
			assert_int_equal(hdr2_get(&h, p, n), 0);
			hdr2_put(&w, &h);
			assert_true(wr_ok(&w));
			assert_int_equal(wr_len(&w), SMB2_HDR_LEN);
			assert_memory_equal(out, p, SMB2_HDR_LEN);
			for (size_t cut = 0; cut < SMB2_HDR_LEN; cut++) {
				uint8_t *q = exact(p, cut);

				assert_int_equal(hdr2_get(&h, q, cut), -1);
				free(q);
			}
			seen++;
		} else {
			assert_int_equal(hdr2_get(&h, p, n), -1);
		}
		free(p);
	}
	assert_true(seen > 20);
}

static void
hdr_refused(void **state)
{
	size_t n;
	uint8_t *p = vector("300-query-req", &n);
	struct hdr2 h;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		p[i] ^= 1;
		assert_int_equal(hdr2_get(&h, p, n), -1);
		p[i] ^= 1;
		assert_int_equal(hdr2_get(&h, p, n), 0);
	}
	free(p);
}

static void
hdr_answer(void **state)
{
	struct hdr2 req = {
		.credit_charge = 2, .status = 7, .command = SMB2_IOCTL, .credits = 9,
		.flags = SMB2_FLAGS_SIGNED | SMB2_FLAGS_RELATED_OPERATIONS | 0x20000000u,
		    .next = 64,
		.message_id = 5, .process_id = 0xfeff, .tree_id = 3, .session_id = 4,
		.signature = { 1, 2, 3 },
	};
	struct hdr2 h = hdr2_reply(&req, STATUS_BUFFER_TOO_SMALL, 33);
	static const uint8_t unsigned_[16];

	(void)state;
	assert_int_equal(h.credit_charge, 2);
	assert_int_equal(h.status, STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(h.command, SMB2_IOCTL);
	assert_int_equal(h.credits, 33);
	assert_int_equal(h.flags, SMB2_FLAGS_SERVER_TO_REDIR | SMB2_FLAGS_RELATED_OPERATIONS);
	assert_int_equal(h.next, 0);
	assert_true(h.message_id == 5);
	assert_int_equal(h.tree_id, 3);
	assert_true(h.session_id == 4);
	assert_memory_equal(h.signature, unsigned_, 16);
}

static void
chain_walk(void **state)
{
	/* The parts as Samba took and gave them. */
	static const struct {
		const char *name;
		unsigned parts;
		struct {
			uint16_t command;
			size_t len;
			uint32_t session, tree;
		} part[4];
	} rows[] = {
		{ "300-query-req", 1, { { SMB2_IOCTL, 121, 0x4ce9fdc2, 0x7c15a987 } } },
		{ "300-chain-req", 3, { { SMB2_ECHO, 72, 0, 0 },
		    { SMB2_IOCTL, 128, 0x702724eb, 0x42778895 }, { SMB2_ECHO, 68, 0, 0 } } },
		{ "300-related-req", 2, { { SMB2_ECHO, 72, 0x702724eb, 0x42778895 },
		    { SMB2_IOCTL, 121, 0x702724eb, 0x42778895 } } },
		{ "302-related-files-req", 4, { { SMB2_CREATE, 128, 0xa18e4a0f, 0xebf38a68 },
		    { SMB2_WRITE, 120, 0xa18e4a0f, 0xebf38a68 },
		    { SMB2_READ, 120, 0xa18e4a0f, 0xebf38a68 },
		    { SMB2_CLOSE, 88, 0xa18e4a0f, 0xebf38a68 } } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct chain2 c;
		struct part2 part;
		size_t n, off = 0;
		uint8_t *p = vector(rows[i].name, &n);

		chain2_init(&c, p, n);
		for (unsigned j = 0; j < rows[i].parts; j++) {
			assert_int_equal(chain2_next(&c, &part), 1);
			assert_int_equal(part.off, off);
			assert_int_equal(part.len, rows[i].part[j].len);
			assert_int_equal(part.last, j + 1 == rows[i].parts);
			assert_int_equal(part.hdr.command, rows[i].part[j].command);
			assert_true(part.session_id == rows[i].part[j].session);
			assert_int_equal(part.tree_id, rows[i].part[j].tree);
			/* Related ones say "all bits" and mean the one before. */
			if ((part.hdr.flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0) {
				assert_int_equal(part.hdr.tree_id, UINT32_MAX);
				assert_true(part.hdr.session_id == UINT64_MAX);
			}
			off += part.len;
		}
		assert_int_equal(off, n);
		assert_int_equal(chain2_next(&c, &part), 0);
		assert_int_equal(chain2_next(&c, &part), 0);
		free(p);
	}
}

static void
chain_related(void **state)
{
	size_t n;
	uint8_t *p = vector("300-related-req", &n);
	struct chain2 c;
	struct part2 part;

	(void)state;
	/* There is nothing that the first could be related to. */
	le32(p + 16, SMB2_FLAGS_RELATED_OPERATIONS);
	chain2_init(&c, p, n);
	assert_int_equal(chain2_next(&c, &part), 1);
	assert_true(part.session_id == 0x702724eb);

	/* What is not related has its own session. */
	le32(p + 16, 0);
	le32(p + 72 + 16, 0);
	chain2_init(&c, p, n);
	assert_int_equal(chain2_next(&c, &part), 1);
	assert_int_equal(chain2_next(&c, &part), 1);
	assert_true(part.session_id == UINT64_MAX);
	assert_int_equal(part.tree_id, UINT32_MAX);

	/* The async form has no tree. */
	le32(p + 72 + 16, SMB2_FLAGS_ASYNC_COMMAND);
	chain2_init(&c, p, n);
	assert_int_equal(chain2_next(&c, &part), 1);
	assert_int_equal(chain2_next(&c, &part), 1);
	assert_int_equal(part.tree_id, 0);
	assert_true(part.hdr.async_id == 0xffffffff0000feff);
	free(p);
}

static void
chain_hostile(void **state)
{
	/*
	 * NextCommand of the first message (72 is right, 268 bytes in all) and of the second
	 * (128).
	 */
	static const struct {
		uint32_t first, second;
		int rc[3];	/* what the calls return up to the first error */
	} rows[] = {
		{ 72, 128, { 1, 1, 1 } },
		{ 0, 128, { 1, 0, 0 } },
		{ 1, 128, { -1 } }, { 8, 128, { -1 } }, { 56, 128, { -1 } }, { 63, 128, { -1 } },
		{ 64, 128, { 1, -1 } }, { 80, 128, { 1, -1 } }, { 192, 128, { 1, -1 } },
		/* Not a multiple of 8: the next one is where it says, as smbd reads it. */
		{ 68, 128, { 1, -1 } }, { 71, 128, { 1, -1 } }, { 73, 128, { 1, -1 } },
		/* The last 64 bytes hold a header, fewer do not; at the very end none is due. */
		{ 200, 128, { 1, 1, 0 } }, { 208, 128, { 1, -1 } }, { 264, 128, { 1, -1 } },
		{ 268, 128, { 1, 0, 0 } }, { 269, 128, { -1 } }, { 272, 128, { -1 } },
		{ 0x7ffffff8, 128, { -1 } }, { 0x80000000, 128, { -1 } },
		{ 0xfffffff8, 128, { -1 } },
		{ 0xffffffff, 128, { -1 } }, { 0xffffffb8, 128, { -1 } },
		/*
		 * Backwards to the start, onto itself, over the end: counted from the second
		 * header.
		 */
		{ 72, 0xffffffb8, { 1, -1 } }, { 72, 0xfffffff8, { 1, -1 } }, { 72, 8, { 1, -1 } },
		{ 72, 136, { 1, 1, -1 } }, { 72, 192, { 1, 1, -1 } }, { 72, 196, { 1, 1, 0 } },
		{ 72, 200, { 1, -1 } }, { 72, 120, { 1, 1, -1 } },
		{ 72, 0, { 1, 1, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct chain2 c;
		struct part2 part;
		size_t n;
		uint8_t *p = vector("300-chain-req", &n);

		assert_int_equal(n, 268);
		le32(p + 20, rows[i].first);
		le32(p + 72 + 20, rows[i].second);
		chain2_init(&c, p, n);
		for (size_t j = 0; j < COUNT(rows[i].rc); j++) {
			int rc = chain2_next(&c, &part);

			if (rc != rows[i].rc[j])
				fail_msg("next %#x, %#x: call %zu: %d", rows[i].first,
				    rows[i].second,
				    j + 1, rc);
			/* An error stays one. */
			if (rc == -1) {
				assert_int_equal(chain2_next(&c, &part), -1);
				break;
			}
		}
		free(p);
	}
}

static void
chain_limit(void **state)
{
	size_t n;
	uint8_t *one = vector("302-cancel-async-req", &n);

	(void)state;
	for (unsigned parts = CHAIN2_MAX_PARTS; parts <= CHAIN2_MAX_PARTS + 1; parts++) {
		uint8_t *p = malloc(parts * 64);
		struct chain2 c;
		struct part2 part;
		unsigned got = 0;
		int rc;

		assert_non_null(p);
		for (unsigned i = 0; i < parts; i++) {
			memcpy(p + i * 64, one, 64);
			le32(p + i * 64 + 20, i + 1 < parts ? 64 : 0);
		}
		chain2_init(&c, p, parts * 64);
		while ((rc = chain2_next(&c, &part)) == 1)
			got++;
		assert_int_equal(got, CHAIN2_MAX_PARTS);
		assert_int_equal(rc, parts > CHAIN2_MAX_PARTS ? -1 : 0);
		free(p);
	}
	free(one);
}

static void
chain_short(void **state)
{
	size_t n;
	uint8_t *p = vector("300-chain-req", &n);

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *q = exact(p, cut);
		struct chain2 c;
		struct part2 part;
		int rc, got = 0;

		chain2_init(&c, q, cut);
		while ((rc = chain2_next(&c, &part)) == 1)
			got++;
		/* As long as the last has its header, only its own getter can miss the rest. */
		assert_int_equal(rc,
		    cut >= 200 + SMB2_HDR_LEN || cut == 200 || cut == 72 ? 0 : -1);
		assert_int_equal(got, cut >= 200 + SMB2_HDR_LEN ? 3 :
		    cut >= 200 ? 2 : cut >= 72 ? 1 : 0);
		free(q);
	}
	free(p);
}

static void
ioctl_request(void **state)
{
	static const uint8_t any[16] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 255, 255 };
	struct ioctl2_req q;
	struct ioctl2_resp a;
	size_t n;
	uint8_t *p = vector("300-query-req", &n);

	(void)state;
	assert_int_equal(ioctl2_req_get(&q, p, n), 0);
	assert_int_equal(q.ctl_code, FSCTL_QUERY_NETWORK_INTERFACE_INFO);
	assert_memory_equal(q.file_id, any, 16);
	assert_int_equal(q.input_count, 0);
	assert_int_equal(q.max_output, 65536);
	assert_int_equal(q.flags, SMB2_IOCTL_IS_FSCTL);
	assert_int_equal(ioctl2_resp_get(&a, p, n), -1);
	/* The empty buffer is one byte with some clients, none with others. */
	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t *msg = exact(p, cut);

		assert_int_equal(ioctl2_req_get(&q, msg, cut), cut >= 120 ? 0 : -1);
		assert_int_equal(ioctl2_peek(msg, cut),
		    cut >= IOCTL2_PEEK_LEN ? FSCTL_QUERY_NETWORK_INTERFACE_INFO : 0);
		free(msg);
	}
	free(p);
}

static void
ioctl_request_fields(void **state)
{
	static const struct {
		uint32_t in_off, in_count, out_off, out_count;
		int rc;
	} rows[] = {
		/* 120 bytes of fields and 8 of buffer. */
		{ 120, 8, 0, 0, 0 }, { 127, 1, 0, 0, 0 }, { 120, 9, 0, 0, -1 },
		{ 121, 8, 0, 0, -1 }, { 128, 1, 0, 0, -1 }, { 119, 8, 0, 0, -1 },
		{ 0, 8, 0, 0, -1 }, { 64, 8, 0, 0, -1 },
		{ 120, 0xffffffff, 0, 0, -1 }, { 0xffffffff, 1, 0, 0, -1 },
		{ 0xffffffff, 0xffffffff, 0, 0, -1 }, { 0xfffffff8, 8, 0, 0, -1 },
		{ 0, 0, 120, 8, 0 }, { 0, 0, 120, 9, -1 }, { 0, 0, 0, 1, -1 },
		{ 0, 0, 0xffffffff, 2, -1 },
		/* Nothing may be anywhere. */
		{ 0xffffffff, 0, 0xffffffff, 0, 0 }, { 1, 0, 1, 0, 0 },
	};
	size_t n;
	uint8_t *p = vector("300-query-req", &n), msg[128] = { 0 };
	struct ioctl2_req q;

	(void)state;
	memcpy(msg, p, 120);
	free(p);
	for (size_t i = 0; i < COUNT(rows); i++) {
		le32(msg + 64 + 24, rows[i].in_off);
		le32(msg + 64 + 28, rows[i].in_count);
		le32(msg + 64 + 36, rows[i].out_off);
		le32(msg + 64 + 40, rows[i].out_count);
		p = exact(msg, sizeof(msg));
		if (ioctl2_req_get(&q, p, sizeof(msg)) != rows[i].rc)
			fail_msg("row %zu: not %d", i, rows[i].rc);
		if (rows[i].rc == 0)
			assert_int_equal(q.input_count, rows[i].in_count);
		free(p);
	}
	memset(msg + 64 + 24, 0, 24);
	assert_int_equal(ioctl2_req_get(&q, msg, sizeof(msg)), 0);
	le16(msg + 64, 49);
	assert_int_equal(ioctl2_req_get(&q, msg, sizeof(msg)), -1);
	le16(msg + 64, 57);
	le16(msg + 12, SMB2_READ);
	assert_int_equal(ioctl2_req_get(&q, msg, sizeof(msg)), -1);
	le16(msg + 12, SMB2_IOCTL);
	le32(msg + 16, SMB2_FLAGS_SERVER_TO_REDIR);
	assert_int_equal(ioctl2_req_get(&q, msg, sizeof(msg)), -1);
}

static void
ioctl_response(void **state)
{
	struct ioctl2_resp a;
	struct ioctl2_req q;
	struct hdr2 h;
	size_t n;
	uint8_t *p = vector("300-query-resp", &n), out[512];
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	assert_int_equal(n, 416);
	assert_int_equal(ioctl2_resp_get(&a, p, n), 0);
	assert_int_equal(a.ctl_code, FSCTL_QUERY_NETWORK_INTERFACE_INFO);
	assert_int_equal(a.output_len, 304);
	assert_ptr_equal(a.output, p + 112);
	assert_int_equal(a.flags, 0);
	assert_int_equal(ioctl2_req_get(&q, p, n), -1);

	/* Written again it is what the server had sent. */
	assert_int_equal(hdr2_get(&h, p, n), 0);
	ioctl2_resp_put(&w, &h, &a);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), n);
	assert_memory_equal(out, p, n);
	w = wr_init(out, n - 1);
	ioctl2_resp_put(&w, &h, &a);
	assert_false(wr_ok(&w));

	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *msg = exact(p, cut);

		assert_int_equal(ioctl2_resp_get(&a, msg, cut), -1);
		free(msg);
	}
	free(p);

	/* An error is not one, although its command is. */
	p = vector("202-ioctl-error", &n);
	assert_int_equal(ioctl2_resp_get(&a, p, n), -1);
	free(p);
}

static void
ioctl_response_fields(void **state)
{
	static const struct {
		uint32_t in_off, in_count, out_off, out_count;
		int rc;
	} rows[] = {
		/* 112 bytes of fields and 304 of buffer. */
		{ 112, 0, 112, 304, 0 }, { 112, 8, 120, 296, 0 }, { 0, 0, 112, 303, 0 },
		{ 112, 304, 0, 0, 0 }, { 112, 305, 112, 304, -1 }, { 111, 1, 112, 304, -1 },
		{ 112, 0, 112, 305, -1 }, { 112, 0, 113, 304, -1 }, { 112, 0, 111, 304, -1 },
		{ 112, 0, 0, 304, -1 }, { 112, 0, 64, 64, -1 }, { 112, 0, 416, 1, -1 },
		{ 112, 0, 417, 1, -1 }, { 112, 0, 0xffffffff, 1, -1 },
		{ 112, 0, 112, 0xffffffff, -1 },
		{ 112, 0, 0xffffff90, 0x80, -1 }, { 112, 0, 0xffffffff, 0, 0 },
	};
	size_t n;
	uint8_t *p = vector("300-query-resp", &n);
	struct ioctl2_resp a;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		le32(p + 64 + 24, rows[i].in_off);
		le32(p + 64 + 28, rows[i].in_count);
		le32(p + 64 + 32, rows[i].out_off);
		le32(p + 64 + 36, rows[i].out_count);
		if (ioctl2_resp_get(&a, p, n) != rows[i].rc)
			fail_msg("row %zu: not %d", i, rows[i].rc);
		if (rows[i].rc == 0) {
			assert_int_equal(a.output_len, rows[i].out_count);
			assert_non_null(a.output);
			if (rows[i].out_count > 0)
				assert_ptr_equal(a.output, p + rows[i].out_off);
		}
	}
	le16(p + 64, 57);
	assert_int_equal(ioctl2_resp_get(&a, p, n), -1);
	free(p);
}

static void
made_errors(void **state)
{
	static const char *const errors[] = { "202-ioctl-error", "210-ioctl-error" };
	uint8_t out[ERR2_LEN], *p;
	struct hdr2 h;
	struct wr w;
	size_t n;

	(void)state;
	/* The errors of a server, byte for byte but for the last: ErrorData is of any value. */
	for (size_t i = 0; i < COUNT(errors); i++) {
		p = vector(errors[i], &n);
		assert_int_equal(n, ERR2_LEN);
		assert_int_equal(hdr2_get(&h, p, n), 0);
		w = wr_init(out, sizeof(out));
		err2_put(&w, &h);
		assert_true(wr_ok(&w));
		assert_int_equal(wr_len(&w), ERR2_LEN);
		assert_memory_equal(out, p, ERR2_LEN - 1);
		w = wr_init(out, ERR2_LEN - 1);
		err2_put(&w, &h);
		assert_false(wr_ok(&w));
		free(p);
	}
}

static void
made_echo(void **state)
{
	uint8_t out[ECHO2_LEN], *p, *echo;
	struct hdr2 h;
	struct wr w;
	size_t n;

	(void)state;
	/* The ECHO of a client (here the last of a compound), but for its ProcessId. */
	p = vector("300-chain-req", &n);
	echo = p + n - ECHO2_LEN;
	assert_int_equal(hdr2_get(&h, echo, ECHO2_LEN), 0);
	assert_int_equal(h.process_id, 0xfeff);
	le32(echo + 32, 0);
	w = wr_init(out, sizeof(out));
	echo2_put(&w, SMB2_ECHO, &h);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), ECHO2_LEN);
	assert_memory_equal(out, echo, ECHO2_LEN);
	free(p);

	/* What it takes over from a signed query, and what not. */
	p = vector("300-query-req", &n);
	le16(p + 6, 2);
	le32(p + 8, 1);
	le16(p + 14, 31);
	le32(p + 16, SMB2_FLAGS_SIGNED | SMB2_FLAGS_RELATED_OPERATIONS);
	le32(p + 20, 128);
	memset(p + 48, 0xee, 16);
	assert_int_equal(hdr2_get(&h, p, n), 0);
	w = wr_init(out, sizeof(out));
	echo2_put(&w, SMB2_ECHO, &h);
	assert_int_equal(hdr2_get(&h, out, wr_len(&w)), 0);
	assert_int_equal(h.command, SMB2_ECHO);
	assert_int_equal(h.credit_charge, 2);
	assert_int_equal(h.credits, 31);
	assert_int_equal(h.next, 128);
	assert_true(h.message_id != 0);
	assert_memory_equal(out + 24, p + 24, 8);
	assert_int_equal(h.status, 0);
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.tree_id, 0);
	assert_true(h.session_id == 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(h.signature[i], 0);
	free(p);
}

static void
xform_header(void **state)
{
	size_t n;
	uint8_t *p = vector("ms-300-write-req-ccm", &n);
	struct xform x;

	(void)state;
	assert_int_equal(xform_get(&x, p, n), 0);
	assert_memory_equal(x.signature, p + 4, 16);
	assert_memory_equal(x.nonce, p + 20, 16);
	assert_int_equal(x.original_size, n - SMB2_TRANSFORM_LEN);
	assert_int_equal(x.flags, 1);
	assert_true(x.session_id == 0x8e40014000011);
	for (size_t cut = 0; cut <= SMB2_TRANSFORM_LEN; cut++) {
		uint8_t *q = exact(p, cut);

		assert_int_equal(xform_get(&x, q, cut), cut < SMB2_TRANSFORM_LEN ? -1 : 0);
		free(q);
	}
	p[0] = 0xfe;
	assert_int_equal(xform_get(&x, p, n), -1);
	free(p);
	p = vector("ms-311-write-resp-gcm", &n);
	assert_int_equal(xform_get(&x, p, n), 0);
	assert_int_equal(x.original_size, 80);
	assert_true(x.session_id == 0x100000000025);
	free(p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nbss_header),
		cmocka_unit_test(nbss_frame),
		cmocka_unit_test(hdr_kinds),
		cmocka_unit_test(hdr_fields),
		cmocka_unit_test(hdr_async),
		cmocka_unit_test(hdr_round_trip),
		cmocka_unit_test(hdr_refused),
		cmocka_unit_test(hdr_answer),
		cmocka_unit_test(chain_walk),
		cmocka_unit_test(chain_related),
		cmocka_unit_test(chain_hostile),
		cmocka_unit_test(chain_limit),
		cmocka_unit_test(chain_short),
		cmocka_unit_test(ioctl_request),
		cmocka_unit_test(ioctl_request_fields),
		cmocka_unit_test(ioctl_response),
		cmocka_unit_test(ioctl_response_fields),
		cmocka_unit_test(made_errors),
		cmocka_unit_test(made_echo),
		cmocka_unit_test(xform_header),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
