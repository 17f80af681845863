/* fuzz-keymsg.c: libFuzzer target: messages to and from smbgate-keyd: read, written the same */
/* for: auth/keymsg.c */
#include "config.h"

#include "auth/keymsg.h"
#include "auth/nokey.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keymsg m;
	uint8_t *out;
	size_t n;

	if (keymsg_get(&m, data, size) == -1)
		return 0;
	HOLDS(16 + m.len + m.text_len == size && m.type > 0 && m.type < KEYMSG_TYPES);
	HOLDS(m.len == 0 || (m.data >= data && m.data + m.len <= data + size));
	HOLDS(m.text_len <= KEYMSG_TEXT_MAX && m.cause < NOKEY_CAUSES);
	HOLDS(m.type != KEYMSG_KEY || m.len <= KEYMSG_KEY_MAX);
	/* Nothing of smbgate-keyd's is taken for a request, nor the other way round. */
	HOLDS(keymsg_is_request(m.type) || m.type == KEYMSG_HELLO ? m.text_len == 0 : true);
	out = malloc(size);
	HOLDS(out != NULL);
	n = keymsg_put(out, size, &m);
	HOLDS(n == size && memcmp(out, data, size) == 0);
	HOLDS(keymsg_put(out, size - 1, &m) == 0);
	HOLDS(keymsg_name(m.type)[0] != '\0');
	/* What cannot be said is not put. */
	m.type = KEYMSG_TYPES;
	HOLDS(keymsg_put(out, size, &m) == 0);
	free(out);
	return 0;
}
