/* fuzz-smb2.c: libFuzzer target: frame walk and all message getters on any bytes */
/* for: smb/chain2.c smb/neg2.c smb/sess2.c smb/ioctl2.c smb/xform.c smb/err2.c */
#include "config.h"

#include "t/unit/lib/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* data is a frame without its transport header; libFuzzer gives it in a block of its size. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk_count count = { 0 };

	walk_frame(data, size, &count);
	return 0;
}
