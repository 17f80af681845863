/* fuzz-negotiate.c: libFuzzer target: NEGOTIATE, read by smbgate and by smbgatectl's own reader */
/* for: ctl/negotiate.c proxy/first.c smb/nbss.c smb/neg1.c */
#include "config.h"

#include "base/wr.h"
#include "ctl/negotiate.h"
#include "proxy/first.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "smb/neg1.h"
#include "smb/neg2.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What both read of an answer is the same. */
static void
fuzz_answer(const uint8_t *p, size_t n)
{
	struct negotiate_answer a;
	struct neg2_resp r;

	if (negotiate_get(&a, p, n) == -1 || a.status != 0 || neg2_resp_get(&r, p, n) == -1)
		return;
	HOLDS(a.dialect == r.dialect && a.security_mode == r.security_mode);
	HOLDS(a.capabilities == r.capabilities && a.system_time == r.system_time);
	if (a.dialect != SMB2_DIALECT_311)
		return;
	HOLDS(a.cipher == r.cipher || (a.cipher == 0xffff && r.cipher == 0));
	HOLDS(a.signing == 0xffff || a.signing == r.signing);
}

/* The first frame of a client: the least and the greatest of its dialects, and whose it is. */
static void
fuzz_first(const uint8_t *p, size_t n)
{
	uint8_t *frame = malloc(n + 4);
	struct first f;
	unsigned count;
	uint16_t min = 0xffff, max = 0;

	HOLDS(frame != NULL);
	nbss_put(frame, (uint32_t)n);
	if (n > 0)
		memcpy(frame + 4, p, n);
	f = first_judge(frame, n + 4);
	if (f.kind == FIRST_SMB2) {
		HOLDS(n >= 100 && memcmp(p, "\xfeSMB", 4) == 0 && reader_u16(p + 12) == 0);
		HOLDS((reader_u32(p + 16) & 1) == 0);
		count = reader_u16(p + 66);
		HOLDS(count > 0 && 100 + 2 * (size_t)count <= n);
		for (unsigned i = 0; i < count; i++) {
			const uint16_t d = reader_u16(p + 100 + 2 * (size_t)i);

			min = d < min ? d : min;
			max = d > max ? d : max;
		}
		HOLDS(f.min_dialect == min && f.max_dialect == max);
		HOLDS(!f.has_guid || memcmp(f.guid.b, p + 76, 16) == 0);
		HOLDS(f.has_guid || max < SMB2_DIALECT_210);
	} else if (f.kind != FIRST_BAD) {
		HOLDS(n > 35 && memcmp(p, "\xffSMBr", 5) == 0);
		/* The last one's NUL need not be counted. */
		HOLDS(f.kind != FIRST_MULTI || memmem(p, n, "\2SMB 2.???", 10) != NULL);
		HOLDS(!f.smb2_002 || memmem(p, n, "\2SMB 2.002", 10) != NULL);
	}
	free(frame);
}

/* What is said here is a first frame, and is read as what it is. */
static void
fuzz_offers(const uint8_t random[48])
{
	static const uint16_t dialects[] = { SMB2_DIALECT_202, SMB2_DIALECT_210, SMB2_DIALECT_300,
		SMB2_DIALECT_302, SMB2_DIALECT_311 };
	const struct negotiate_offer o = {
		.dialect = dialects[random[0] % 5], .cipher = random[1], .signing = random[2]
	};
	uint8_t frame[4 + NEGOTIATE_MAX];
	size_t n = negotiate_put(frame, &o, random);
	struct first f = first_judge(frame, n);
	struct guid guid;
	struct wr w = wr_init(frame, sizeof(frame));

	HOLDS(n <= NEGOTIATE_MAX && f.kind == FIRST_SMB2);
	HOLDS(f.min_dialect == o.dialect && f.max_dialect == o.dialect);
	memcpy(guid.b, random, sizeof(guid.b));
	nbss_begin(&w);
	neg2_probe_put(&w, &guid, random + 16);
	nbss_end(&w);
	HOLDS(wr_ok(&w));
	f = first_judge(frame, wr_len(&w));
	HOLDS(f.kind == FIRST_SMB2 && f.max_dialect == SMB2_DIALECT_311);
	w = wr_init(frame, 3);
	nbss_begin(&w);
	nbss_end(&w);
	HOLDS(!wr_ok(&w));
	w = wr_init(frame, sizeof(frame));
	nbss_begin(&w);
	neg1_probe_put(&w);
	nbss_end(&w);
	HOLDS(wr_ok(&w));
	HOLDS(first_judge(frame, wr_len(&w)).kind == FIRST_MULTI);
}

/* What refuses an SMB1 client is no answer that chooses a dialect. */
static void
fuzz_refusal(const uint8_t *p, size_t n)
{
	uint8_t out[64];
	struct wr w = wr_init(out, sizeof(out));
	struct hdr1 h, again;

	if (hdr1_get(&h, p, n) == -1)
		return;
	neg1_refuse_put(&w, &h);
	HOLDS(wr_ok(&w) && hdr1_get(&again, out, wr_len(&w)) == 0);
	HOLDS(h.mid == again.mid && h.pid == again.pid && h.tid == again.tid);
	HOLDS(!neg1_resp_good(out, wr_len(&w)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t random[48] = { 0 };

	memcpy(random, data, size < 48 ? size : 48);
	fuzz_offers(random);
	fuzz_refusal(data, size);
	fuzz_answer(data, size);
	if (size < 60000)
		fuzz_first(data, size);
	return 0;
}
