/* fuzz-negotiate.c: libFuzzer target: NEGOTIATE, read by smbgate and by smbgatectl's own reader */
/* for: ctl/negotiate.c proxy/first.c smb/neg1.c */
#include "config.h"

#include "ctl/negotiate.h"
#include "proxy/first.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_answer(data, size);
	if (size < 60000)
		fuzz_first(data, size);
	return 0;
}
