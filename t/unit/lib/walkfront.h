/* walkfront.h: what must hold of any bytes that come in front of SMB */
#ifndef T_UNIT_LIB_WALKFRONT_H
#define T_UNIT_LIB_WALKFRONT_H

#include "proxy/ppheader.h"
#include "smb/netbios.h"
#include "t/unit/lib/holds.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How many were taken: shows that a run tests more than refusals. */
struct front_count {
	unsigned long granted, refused, proxied, local, more, bad;
};

/* First-level encoding, RFC 1001 14.1: written anew, from the text of the RFC. */
static inline void
front_encode(uint8_t dst[34], const char *text, char pad, uint8_t suffix)
{
	char b[16];

	memset(b, pad, sizeof(b));
	memcpy(b, text, strlen(text) < 15 ? strlen(text) : 15);
	b[15] = (char)suffix;
	dst[0] = 0x20;
	for (int i = 0; i < 16; i++) {
		dst[1 + 2 * i] = (uint8_t)("ABCDEFGHIJKLMNOP"[(uint8_t)b[i] / 16]);
		dst[2 + 2 * i] = (uint8_t)("ABCDEFGHIJKLMNOP"[(uint8_t)b[i] % 16]);
	}
	dst[33] = 0;
}

/* The encoded name at p is this one, whatever it was padded with. */
static inline void
front_same_name(const struct netbios_name *n, const uint8_t *p)
{
	size_t len = strnlen(n->text, sizeof(n->text));

	HOLDS(len < sizeof(n->text));
	for (size_t i = 0; i < 16; i++) {
		uint8_t b = (uint8_t)((p[1 + 2 * i] - 'A') * 16 + p[2 + 2 * i] - 'A');

		if (i == 15)
			HOLDS(b == n->suffix);
		else if (i < len)
			HOLDS(b == (uint8_t)n->text[i] && b >= 0x20 && b != 0x7f);
		else
			HOLDS(b == ' ' || b == 0);
	}
}

/* p has exactly n bytes, so that a sanitizer sees reads behind them. */
static inline void
front_netbios(const uint8_t *p, size_t n, struct front_count *c)
{
	struct netbios_request q;
	uint8_t answer[NETBIOS_ANSWER_MAX];
	enum netbios_error e = netbios_request_get(&q, p, n);
	size_t len = netbios_answer_put(answer, e);

	if (e != NETBIOS_GRANTED) {
		HOLDS(len == 5 && answer[0] == 0x83 && answer[3] == 1 && answer[4] == e);
		c->refused++;
		return;
	}
	HOLDS(len == 4 && answer[0] == 0x82 && answer[3] == 0);
	HOLDS(n >= 68 && n <= 510 && p[0] == 32 && p[n - 1] == 0);
	front_same_name(&q.called, p);
	if (n == 68)
		front_same_name(&q.calling, p + 34);
	c->granted++;
}

static inline void
front_ppheader(const uint8_t *p, size_t n, struct front_count *c)
{
	struct ppheader h = ppheader_get(p, n), again;
	uint8_t *copy;

	switch (h.kind) {
	case PPHEADER_MORE:
		HOLDS(h.n > n && h.n <= PPHEADER_MAX);
		c->more++;
		return;
	case PPHEADER_BAD:
		c->bad++;
		return;
	default:
		break;
	}
	/* What stands behind it changes nothing, and no part of it is enough. */
	HOLDS(h.n >= 16 - 1 && h.n <= n && h.n <= PPHEADER_MAX);
	copy = malloc(h.n);
	HOLDS(copy != NULL);
	memcpy(copy, p, h.n);
	again = ppheader_get(copy, h.n);
	HOLDS(again.kind == h.kind && again.n == h.n &&
	    addr_equal(&again.client.addr, &h.client.addr) && again.client.port == h.client.port &&
	    addr_equal(&again.local.addr, &h.local.addr) && again.local.port == h.local.port);
	HOLDS(ppheader_get(copy, h.n - 1).kind == PPHEADER_MORE);
	free(copy);
	if (h.kind == PPHEADER_PROXIED)
		c->proxied++;
	else
		c->local++;
}

#endif
