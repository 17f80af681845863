/* walk.h: run every getter of the codec over any bytes and check what must always hold */
#ifndef T_UNIT_LIB_WALK_H
#define T_UNIT_LIB_WALK_H

#include "base/wr.h"
#include "smb/chain2.h"
#include "smb/compress.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/hdr2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/neg1.h"
#include "smb/neg2.h"
#include "smb/sess2.h"
#include "smb/xform.h"
#include "t/unit/lib/holds.h"
#include "t/unit/lib/lists.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How many messages of each kind were well formed: shows that a run tests more than refusals. */
struct walk_count {
	unsigned long frames, parts, neg_req, neg_resp, sess_req, sess_resp, ioctl_req, ioctl_resp,
	    neg1, xform, lists;
};

static inline void
walk_inside(const uint8_t *blob, size_t blob_len, const uint8_t *msg, size_t len)
{
	HOLDS(blob >= msg && blob <= msg + len && blob_len <= (size_t)(msg + len - blob));
}

/* A list that is believed survives being written and read again. */
static inline bool
walk_ifinfo(const uint8_t *p, size_t len)
{
	static const size_t maxes[] = { 0, 1, IFINFO_MAX };
	struct ifinfo a[IFINFO_MAX], b[IFINFO_MAX];
	uint8_t *out;
	size_t n, m, size;
	int rc = -1;

	for (size_t i = 0; i < sizeof(maxes) / sizeof(maxes[0]); i++) {
		rc = ifinfo_get(a, maxes[i], &n, p, len);
		HOLDS(n <= maxes[i] && (rc == 0 || n == 0));
	}
	if (rc < 0)
		return false;
	HOLDS(n * IFINFO_ENTRY_LEN <= len);
	size = n * IFINFO_ENTRY_LEN;
	out = malloc(size);
	HOLDS(out != NULL || size == 0);
	HOLDS(list_put(out, size, a, n) == size);
	HOLDS(ifinfo_get(b, IFINFO_MAX, &m, out, size) == 0 && m == n);
	for (size_t i = 0; i < n; i++) {
		HOLDS(a[i].ifindex == b[i].ifindex && a[i].capability == b[i].capability &&
		    a[i].link_speed == b[i].link_speed && addr_equal(&a[i].addr, &b[i].addr));
	}
	if (n > 0)
		HOLDS(list_put(out, size - 1, a, n) == 0);
	free(out);
	return true;
}

static inline void
walk_neg_resp(const struct neg2_resp *a, const uint8_t *msg, size_t len)
{
	size_t cap = SMB2_HDR_LEN + 64 + a->blob_len;
	uint8_t *out = malloc(cap);
	struct wr w = wr_init(out, cap);
	struct neg2_resp b;

	walk_inside(a->blob, a->blob_len, msg, len);
	HOLDS(out != NULL);
	neg2_resp_put(&w, a);
	HOLDS(wr_ok(&w) && wr_len(&w) == cap);
	HOLDS(neg2_resp_get(&b, out, cap) == 0);
	HOLDS(a->dialect == b.dialect && a->security_mode == b.security_mode &&
	    a->capabilities == b.capabilities && guid_equal(&a->server_guid, &b.server_guid) &&
	    a->max_transact == b.max_transact && a->max_read == b.max_read &&
	    a->max_write == b.max_write && a->system_time == b.system_time &&
	    a->start_time == b.start_time && a->blob_len == b.blob_len &&
	    memcmp(a->blob, b.blob, a->blob_len) == 0);
	if (a->dialect != SMB2_DIALECT_311)
		HOLDS(a->cipher == b.cipher && a->signing == b.signing && !a->compression);
	free(out);
}

static inline void
walk_ioctl_resp(const struct hdr2 *h, const struct ioctl2_resp *a, const uint8_t *msg, size_t len)
{
	size_t cap = SMB2_HDR_LEN + 48 + a->output_len;
	uint8_t *out = malloc(cap);
	struct wr w = wr_init(out, cap);
	struct ioctl2_resp b;

	walk_inside(a->output, a->output_len, msg, len);
	HOLDS(a->ctl_code == ioctl2_peek(msg, len));
	HOLDS(out != NULL);
	ioctl2_resp_put(&w, h, a);
	HOLDS(wr_ok(&w) && wr_len(&w) == cap);
	HOLDS(ioctl2_resp_get(&b, out, cap) == 0);
	HOLDS(a->ctl_code == b.ctl_code && a->flags == b.flags &&
	    memcmp(a->file_id, b.file_id, sizeof(a->file_id)) == 0 &&
	    a->output_len == b.output_len && memcmp(a->output, b.output, a->output_len) == 0);
	free(out);
}

/* What is made of a header: itself, an error, and the two that stand in for a request. */
static inline void
walk_header(const struct hdr2 *h, const uint8_t *msg)
{
	uint8_t out[NOBODY2_LEN];
	struct sess2_req setup;
	struct hdr2 reply = hdr2_reply(h, STATUS_REQUEST_NOT_ACCEPTED, 1), again;
	struct wr w = wr_init(out, sizeof(out));

	/* A header is the same bytes when it is written again. */
	hdr2_put(&w, h);
	HOLDS(wr_len(&w) == SMB2_HDR_LEN && memcmp(out, msg, SMB2_HDR_LEN) == 0);
	w = wr_init(out, sizeof(out));
	err2_put(&w, &reply);
	HOLDS(wr_ok(&w) && wr_len(&w) == ERR2_LEN && hdr2_get(&again, out, ERR2_LEN) == 0);
	HOLDS(again.message_id == h->message_id && again.command == h->command &&
	    (again.flags & SMB2_FLAGS_SERVER_TO_REDIR) != 0 && again.next == 0 &&
	    (again.flags & (SMB2_FLAGS_SIGNED | SMB2_FLAGS_ASYNC_COMMAND)) == 0);
	w = wr_init(out, sizeof(out));
	echo2_put(&w, SMB2_ECHO, h);
	HOLDS(wr_ok(&w) && wr_len(&w) == ECHO2_LEN && hdr2_get(&again, out, ECHO2_LEN) == 0);
	HOLDS(again.message_id == h->message_id && again.session_id == 0);
	w = wr_init(out, sizeof(out));
	nobody2_put(&w, h);
	HOLDS(wr_ok(&w) && wr_len(&w) == NOBODY2_LEN && hdr2_get(&again, out, NOBODY2_LEN) == 0);
	HOLDS(again.message_id == h->message_id && again.credits == h->credits &&
	    again.credit_charge == h->credit_charge && again.flags == 0);
	/* It is well formed where it is alone. */
	HOLDS(sess2_req_get(&setup, out, NOBODY2_LEN) == 0 && setup.flags == 0 &&
	    setup.blob_len == 0 && setup.previous_session_id == 0);
}

/* One message: all getters, whatever its header says. */
static inline void
walk_message(const struct hdr2 *h, const uint8_t *msg, size_t len, struct walk_count *count)
{
	struct neg2_req neg_req;
	struct neg2_resp neg_resp;
	struct sess2_req sess_req;
	struct sess2_resp sess_resp;
	struct ioctl2_req ioctl_req;
	struct ioctl2_resp ioctl_resp;
	unsigned kinds = 0;

	walk_header(h, msg);
	HOLDS(ioctl2_peek(msg, len) == 0 || len >= IOCTL2_PEEK_LEN);
	if (neg2_req_get(&neg_req, msg, len) == 0) {
		HOLDS(neg_req.ndialects > 0 && SMB2_HDR_LEN + 36 + 2 * neg_req.ndialects <= len);
		count->neg_req++;
		kinds++;
	}
	if (neg2_resp_get(&neg_resp, msg, len) == 0) {
		walk_neg_resp(&neg_resp, msg, len);
		count->neg_resp++;
		kinds++;
	}
	if (sess2_req_get(&sess_req, msg, len) == 0) {
		walk_inside(sess_req.blob, sess_req.blob_len, msg, len);
		count->sess_req++;
		kinds++;
	}
	if (sess2_resp_get(&sess_resp, msg, len) == 0) {
		walk_inside(sess_resp.blob, sess_resp.blob_len, msg, len);
		count->sess_resp++;
		kinds++;
	}
	if (ioctl2_req_get(&ioctl_req, msg, len) == 0) {
		HOLDS(ioctl_req.ctl_code == ioctl2_peek(msg, len));
		HOLDS(ioctl_req.input_count <= len);
		count->ioctl_req++;
		kinds++;
	}
	if (ioctl2_resp_get(&ioctl_resp, msg, len) == 0) {
		walk_ioctl_resp(h, &ioctl_resp, msg, len);
		count->lists += walk_ifinfo(ioctl_resp.output, ioctl_resp.output_len);
		count->ioctl_resp++;
		kinds++;
	}
	/* Command and direction tell the kinds apart. */
	HOLDS(kinds <= 1);
}

/* The head of what is in it is the head of all that is. */
static inline void
walk_compressed(const uint8_t *p, size_t len)
{
	uint8_t head[72], *out = malloc(70000);

	HOLDS(out != NULL);
	for (int chained = 0; chained < 2; chained++) {
		size_t n = compress_open(chained, p, len, out, 70000);

		HOLDS(n <= compress_len(chained, p, len) && n <= 70000);
		HOLDS(compress_open(chained, p, len, head, sizeof(head)) ==
		    (n < sizeof(head) ? n : sizeof(head)));
		HOLDS(memcmp(head, out, n < sizeof(head) ? n : sizeof(head)) == 0);
	}
	free(out);
}

/* A frame, without its transport header, in a block of exactly len bytes. */
static inline void
walk_frame(const uint8_t *p, size_t len, struct walk_count *count)
{
	struct chain2 c;
	struct part2 part;
	struct neg1_req neg1;
	struct hdr1 h1;
	struct xform x;
	struct nbss nb;
	size_t off = 0;
	unsigned parts = 0;
	bool last = false;
	int rc;

	count->frames++;
	HOLDS((nbss_get(&nb, p, len) == 0) == (len >= NBSS_HDR_LEN));
	HOLDS(xform_get(&x, p, len) < 0 || len >= SMB2_TRANSFORM_LEN);
	count->xform += xform_get(&x, p, len) == 0;
	if (neg1_req_get(&neg1, p, len) == 0) {
		HOLDS(hdr1_get(&h1, p, len) == 0 && neg1.ndialects > 0);
		HOLDS(neg1.ndialects <= (len - SMB1_HDR_LEN) / 2);
		count->neg1++;
	}
	walk_compressed(p, len);
	chain2_init(&c, p, len);
	while ((rc = chain2_next(&c, &part)) == 1) {
		/* The parts follow each other without a gap, and nothing comes behind the last. */
		HOLDS(!last && part.off == off && part.len >= SMB2_HDR_LEN &&
		    part.len <= len - off);
		off += part.len;
		last = part.last;
		HOLDS(++parts <= CHAIN2_MAX_PARTS);
		HOLDS(last == (off == len));
		count->parts++;
		walk_message(&part.hdr, p + part.off, part.len, count);
	}
	HOLDS(rc < 0 || last);
	/* The end stays the end, an error stays an error. */
	HOLDS(chain2_next(&c, &part) == rc);
}

#endif
