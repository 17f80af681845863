/* fuzz-smb1.c: libFuzzer target: SMB1's chains, logons and raw mode; peeks miss nothing */
/* for: smb/chain1.c smb/sess1.c smb/raw1.c */
#include "config.h"

#include "smb/chain1.h"
#include "smb/const.h"
#include "smb/neg1.h"
#include "smb/raw1.h"
#include "smb/sess1.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
inside(const uint8_t *p, size_t n, const uint8_t *msg, size_t len)
{
	HOLDS(p == NULL || (p >= msg && p <= msg + len && n <= (size_t)(msg + len - p)));
}

/* A number put into a copy changes those two bytes, and is read there. */
static void
fuzz_session(const struct chain1 *c, const struct block1 *b)
{
	struct sess1_req s, again;
	struct chain1 copy = *c;
	uint8_t *m;

	if (sess1_req_get(&s, c, b) == -1)
		return;
	inside(s.blob, s.blob_len, c->msg, c->len);
	inside(s.account, s.account_len, c->msg, c->len);
	inside(s.domain, s.domain_len, c->msg, c->len);
	HOLDS(s.vc_off >= SMB1_HDR_LEN && s.vc_off + 2 <= b->words_off + 2u * b->words);
	m = malloc(c->len);
	HOLDS(m != NULL);
	memcpy(m, c->msg, c->len);
	sess1_vc_put(m, &s, 0xbeef);
	copy.msg = m;
	HOLDS(sess1_req_get(&again, &copy, b) == 0 && again.vc_number == 0xbeef);
	m[s.vc_off] = c->msg[s.vc_off];
	m[s.vc_off + 1] = c->msg[s.vc_off + 1];
	HOLDS(memcmp(m, c->msg, c->len) == 0);
	free(m);
}

static void
fuzz_raw(const struct chain1 *c, const struct block1 *b, bool first)
{
	size_t at = raw1_asked(c->msg, c->len, b);
	size_t peek = c->len < RAW1_PEEK_LEN ? c->len : RAW1_PEEK_LEN;
	uint8_t *m = malloc(c->len);

	HOLDS(m != NULL);
	memcpy(m, c->msg, c->len);
	if (at != 0) {
		HOLDS(at >= SMB1_HDR_LEN && at + 2 <= c->len);
		raw1_refuse(m, at);
		HOLDS(m[at] == 0xff && m[at + 1] == 0xff);
		/* Its head shows it, where it is the only one. */
		HOLDS(!first || raw1_may_ask(c->msg, peek));
	}
	if (raw1_offered(c->msg, b)) {
		raw1_withdraw(m, b);
		HOLDS(!raw1_offered(m, b));
	}
	free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chain1 c;
	struct block1 b;
	size_t behind = SMB1_HDR_LEN, len;
	unsigned n = 0;
	int rc;

	(void)neg1_resp_good(data, size);
	if (chain1_init(&c, data, size) == -1)
		return 0;
	while ((rc = chain1_next(&c, &b)) == 1) {
		HOLDS(++n <= CHAIN1_MAX_BLOCKS);
		/* It leads on: no block is in one that was seen, and its words are there. */
		HOLDS(b.words_off > behind - 1 && b.words_off + 2u * b.words + 2 <= size);
		HOLDS(b.bytes_off == b.words_off + 2u * b.words + 2);
		behind = b.bytes_off;
		fuzz_session(&c, &b);
		fuzz_raw(&c, &b, n == 1);
		(void)sess1_resp_guest(&c, &b);
		inside(sess1_resp_blob(&c, &b, &len), len, data, size);
	}
	HOLDS(n <= 1 || chain1_more(data, size < CHAIN1_PEEK_LEN ? size : CHAIN1_PEEK_LEN));
	HOLDS(rc == chain1_next(&c, &b) || rc == -1);
	return 0;
}
