/* fuzz-front.c: libFuzzer target: session requests and PROXY headers in front of SMB */
/* for: smb/netbios.c proxy/ppheader.c */
#include "config.h"

#include "t/unit/lib/walkfront.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct front_count count = { 0 };

	front_netbios(data, size, &count);
	front_ppheader(data, size, &count);
	return 0;
}
