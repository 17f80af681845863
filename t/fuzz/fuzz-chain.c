/* fuzz-chain.c: libFuzzer target: where the messages of a frame begin, here and by smbd's rules */
/* for: smb/chain2.c smb/hdr2.c */
#include "config.h"

#include "smb/chain2.h"
#include "smb/hdr2.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

#define MAX (CHAIN2_MAX_PARTS + 8)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody has a key. */
static int
closed(void *arg, uint64_t sid, uint8_t *frame, size_t len)
{
	(void)arg;
	(void)sid;
	(void)frame;
	(void)len;
	return -1;
}

/*
 * A frame that smbd acts on is read alike here, or is refused here: no message of it can be one
 * that was not seen. What is refused by smbd alone hurts nobody.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct read_msg m[MAX];
	uint8_t *frame = malloc(size);
	struct chain2 c;
	struct part2 part;
	int n, i = 0, rc;

	HOLDS(frame != NULL || size == 0);
	if (size > 0)
		memcpy(frame, data, size);
	n = reader_frame(frame, size, closed, NULL, m, MAX);
	chain2_init(&c, data, size);
	while ((rc = chain2_next(&c, &part)) == 1) {
		if (n != -1) {
			HOLDS(i < n && m[i].p == frame + part.off && m[i].n == part.len);
			HOLDS(m[i].command == part.hdr.command && m[i].mid == part.hdr.message_id &&
			    m[i].flags == part.hdr.flags && m[i].sid == part.hdr.session_id);
		}
		i++;
	}
	if (n != -1 && rc == 0)
		HOLDS(i == n);
	free(frame);
	return 0;
}
