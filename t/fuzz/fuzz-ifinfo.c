/* fuzz-ifinfo.c: libFuzzer target: an interface list read, written and read again is the same */
/* for: smb/ifinfo.c */
#include "config.h"

#include "t/unit/lib/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)walk_ifinfo(data, size);
	return 0;
}
