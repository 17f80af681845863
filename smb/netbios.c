/* netbios.c: the NetBIOS session request and its answers */
#include "config.h"

#include "smb/netbios.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

#include <stdbool.h>
#include <string.h>

/* Of a name with its scope, RFC 1002 4.1, and of one label of a scope. */
#define NAME_MAX_LEN 255
#define LABEL_MAX_LEN 63

/* The fifteen bytes as text: printable ones, then what they were padded with. */
static int
text_get(char dst[NETBIOS_NAME_MAX], const uint8_t *b)
{
	size_t n = NETBIOS_NAME_MAX - 1;

	while (n > 0 && (b[n - 1] == ' ' || b[n - 1] == '\0'))
		n--;
	for (size_t i = 0; i < n; i++)
		if (b[i] < ' ' || b[i] == 0x7f)
			return -1;
	memset(dst, 0, NETBIOS_NAME_MAX);
	memcpy(dst, b, n);
	return 0;
}

/* Each byte of the name is two letters from A to P; then the labels of the scope, mostly none. */
static int
name_get(struct netbios_name *n, struct rd *r)
{
	uint8_t b[NETBIOS_NAME_MAX], label;
	size_t start = r->pos;

	if (rd_u8(r) != 2 * sizeof(b))
		return -1;
	for (size_t i = 0; i < sizeof(b); i++) {
		uint8_t hi = rd_u8(r), lo = rd_u8(r);

		if (hi < 'A' || hi > 'P' || lo < 'A' || lo > 'P')
			return -1;
		b[i] = (uint8_t)((hi - 'A') << 4 | (lo - 'A'));
	}
	while ((label = rd_u8(r)) != 0) {
		if (label > LABEL_MAX_LEN)
			return -1;
		rd_skip(r, label);
	}
	if (!rd_ok(r) || r->pos - start > NAME_MAX_LEN)
		return -1;
	n->suffix = b[NETBIOS_NAME_MAX - 1];
	return text_get(n->text, b);
}

enum netbios_error
netbios_request_get(struct netbios_request *q, const uint8_t *p, size_t len)
{
	struct rd r = rd_init(p, len);

	if (len < NETBIOS_REQUEST_MIN || len > NETBIOS_REQUEST_MAX)
		return NETBIOS_UNSPECIFIED;
	if (name_get(&q->called, &r) == -1)
		return NETBIOS_NO_CALLED;
	if (name_get(&q->calling, &r) == -1)
		return NETBIOS_NO_CALLING;
	return rd_left(&r) == 0 ? NETBIOS_GRANTED : NETBIOS_UNSPECIFIED;
}

size_t
netbios_answer_put(uint8_t dst[NETBIOS_ANSWER_MAX], enum netbios_error e)
{
	struct wr w = wr_init(dst, NETBIOS_ANSWER_MAX);

	wr_u8(&w, e == NETBIOS_GRANTED ? NBSS_POSITIVE : NBSS_NEGATIVE);
	wr_be24(&w, e == NETBIOS_GRANTED ? 0 : 1);
	if (e != NETBIOS_GRANTED)
		wr_u8(&w, (uint8_t)e);
	return wr_len(&w);
}
