/* ppheader.c: pure: the PROXY protocol header, version 1 and 2, of a proxy in front of smbgate */
#include "config.h"

#include "proxy/ppheader.h"

#include "base/rd.h"

#include <stdbool.h>
#include <string.h>

/* Of version 1, with its CR LF: the longest that two IPv6 addresses and two ports can make. */
#define V1_MAX 107
#define V1_BEGIN "PROXY "
#define V1_BEGIN_LEN 6

#define V2_BEGIN "\r\n\r\n\0\r\nQUIT\n"
#define V2_BEGIN_LEN 12
#define V2_FIXED_LEN 16
#define V2_LOCAL 0x20
#define V2_PROXY 0x21
#define V2_UNSPEC 0x00
#define V2_TCP4 0x11
#define V2_TCP6 0x21
#define V2_TYPE_CRC32C 0x03

static struct ppheader
more(size_t n)
{
	return (struct ppheader){ .kind = PPHEADER_MORE, .n = n };
}

static struct ppheader
bad(void)
{
	return (struct ppheader){ .kind = PPHEADER_BAD };
}

/* Version 1: a line of words with one space between them. */

/* The next word of [*p, end), without its space; NULL when there is none. */
static const char *
word(const char **p, const char *end, size_t *len)
{
	const char *start = *p, *space;

	if (start == NULL)
		return NULL;
	space = memchr(start, ' ', (size_t)(end - start));
	*len = (size_t)((space != NULL ? space : end) - start);
	*p = space != NULL ? space + 1 : NULL;
	return start;
}

static int
v1_addr(struct addr *a, const char **p, const char *end, bool six)
{
	char text[ADDR_STRLEN];
	size_t len;
	const char *w = word(p, end, &len);

	if (w == NULL || len == 0 || len >= sizeof(text) || memchr(w, '\0', len) != NULL)
		return -1;
	memcpy(text, w, len);
	text[len] = '\0';
	if ((strchr(text, ':') != NULL) != six)
		return -1;
	return addr_parse(a, text);
}

/* 0 to 65535 and no zeros in front. */
static int
v1_port(uint16_t *port, const char **p, const char *end)
{
	size_t len;
	const char *w = word(p, end, &len);
	uint32_t v = 0;

	if (w == NULL || len == 0 || len > 5 || (len > 1 && w[0] == '0'))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (w[i] < '0' || w[i] > '9')
			return -1;
		v = v * 10 + (uint32_t)(w[i] - '0');
	}
	if (v > UINT16_MAX)
		return -1;
	*port = (uint16_t)v;
	return 0;
}

static struct ppheader
v1(const uint8_t *data, size_t avail)
{
	const char *p = (const char *)data + V1_BEGIN_LEN, *end, *w;
	struct ppheader h = { .kind = PPHEADER_PROXIED };
	const uint8_t *lf = memchr(data, '\n', avail < V1_MAX ? avail : V1_MAX);
	size_t len = 0;
	bool six;

	if (lf == NULL)
		return avail < V1_MAX ? more(avail + 1) : bad();
	/* It stands behind V1_BEGIN, so there is a byte in front of it; then so does a CR. */
	if (lf[-1] != '\r')
		return bad();
	end = (const char *)lf - 1;
	h.n = (size_t)(lf - data) + 1;
	w = word(&p, end, &len);
	/* Whatever stands behind it in the line is to be ignored. */
	if (len == 7 && memcmp(w, "UNKNOWN", len) == 0)
		return (struct ppheader){ .kind = PPHEADER_LOCAL, .n = h.n };
	if (len != 4 || (memcmp(w, "TCP4", len) != 0 && memcmp(w, "TCP6", len) != 0))
		return bad();
	six = w[3] == '6';
	if (v1_addr(&h.client.addr, &p, end, six) == -1 ||
	    v1_addr(&h.local.addr, &p, end, six) == -1 || v1_port(&h.client.port, &p, end) == -1 ||
	    v1_port(&h.local.port, &p, end) == -1 || p != NULL)
		return bad();
	return h;
}

/* Version 2: binary, in network order. */

/* CRC-32C (Castagnoli, reflected), RFC 3720 12.1. Headers are short: no table. */
static uint32_t
crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	return crc;
}

/* The header's checksum is over all of it, with zeros in the four bytes at off that hold it. */
static bool
checksum_good(const uint8_t *p, size_t n, size_t off)
{
	static const uint8_t zeros[4];
	uint32_t said = (uint32_t)p[off] << 24 | (uint32_t)p[off + 1] << 16 |
	    (uint32_t)p[off + 2] << 8 | p[off + 3];
	uint32_t crc = crc32c(0xffffffffu, p, off);

	crc = crc32c(crc, zeros, sizeof(zeros));
	return ~crc32c(crc, p + off + sizeof(zeros), n - off - sizeof(zeros)) == said;
}

static bool
tlvs_good(struct rd *r)
{
	bool summed = false;

	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r);
		uint16_t len = rd_be16(r);
		size_t off = r->pos;

		rd_skip(r, len);
		if (!rd_ok(r))
			return false;
		if (type != V2_TYPE_CRC32C)
			continue;
		/* One is enough: each would cover the other. */
		if (len != 4 || summed || !checksum_good(r->base, r->len, off))
			return false;
		summed = true;
	}
	return rd_ok(r);
}

static struct addr
v2_addr(struct rd *r, bool six)
{
	uint8_t b[16];

	rd_copy(r, b, six ? 16 : 4);
	return six ? addr_from_v6(b) : addr_from_v4(b);
}

static struct ppheader
v2(const uint8_t *p, size_t avail)
{
	struct ppheader h = { .kind = PPHEADER_PROXIED };
	struct rd r = rd_init(p, avail);
	uint8_t command, family;

	if (avail < V2_FIXED_LEN)
		return more(V2_FIXED_LEN);
	rd_skip(&r, V2_BEGIN_LEN);
	command = rd_u8(&r);
	family = rd_u8(&r);
	h.n = V2_FIXED_LEN + (size_t)rd_be16(&r);
	if ((command != V2_LOCAL && command != V2_PROXY) || h.n > PPHEADER_MAX)
		return bad();
	if (command == V2_PROXY && family != V2_UNSPEC && family != V2_TCP4 && family != V2_TCP6)
		return bad();
	if (avail < h.n)
		return more(h.n);
	/* Nothing of it is used, so nothing of it is read. */
	if (command == V2_LOCAL || family == V2_UNSPEC)
		return (struct ppheader){ .kind = PPHEADER_LOCAL, .n = h.n };
	r = rd_init(p, h.n);
	rd_skip(&r, V2_FIXED_LEN);
	h.client.addr = v2_addr(&r, family == V2_TCP6);
	h.local.addr = v2_addr(&r, family == V2_TCP6);
	h.client.port = rd_be16(&r);
	h.local.port = rd_be16(&r);
	return rd_ok(&r) && tlvs_good(&r) ? h : bad();
}

static bool
begins(const uint8_t *p, size_t avail, const char *with, size_t len)
{
	return memcmp(p, with, avail < len ? avail : len) == 0;
}

struct ppheader
ppheader_get(const uint8_t *p, size_t avail)
{
	if (avail == 0)
		return more(1);
	if (begins(p, avail, V1_BEGIN, V1_BEGIN_LEN))
		return avail < V1_BEGIN_LEN ? more(V1_BEGIN_LEN) : v1(p, avail);
	if (begins(p, avail, V2_BEGIN, V2_BEGIN_LEN))
		return avail < V2_BEGIN_LEN ? more(V2_BEGIN_LEN) : v2(p, avail);
	return bad();
}
