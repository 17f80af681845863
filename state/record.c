/* record.c: what Redis is given to keep, sealed so that nobody else can have written it */
#include "config.h"

#include "state/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int
record_id(const struct record_seal *s, const char *label, const void *p, size_t n,
    uint8_t id[NAMES_ID_LEN])
{
	uint8_t mac[32];

	if (s->mac(s->arg, label, p, n, NULL, 0, mac) == -1)
		return -1;
	memcpy(id, mac, NAMES_ID_LEN);
	return 0;
}

void
record_hex(const uint8_t *p, size_t n, char *dst)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digit[p[i] >> 4];
		dst[2 * i + 1] = digit[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
record_unhex(uint8_t *dst, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(text[2 * i]), lo = hi == -1 ? -1 : nibble(text[2 * i + 1]);

		if (lo == -1)
			return -1;
		dst[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

void
record_make(struct record *r, const struct record_seal *s, const char *label, const void *name,
    size_t name_len, uint64_t when_ms, const char *text)
{
	uint8_t mac[32];
	size_t n = strlen(text);

	r->len = 0;
	if (n == 0 || n >= STATE_NODE_LEN)
		return;
	snprintf(r->bytes, sizeof(r->bytes), "%c%015" PRIu64 "%s", RECORD_VERSION,
	    when_ms > RECORD_WHEN_MAX ? RECORD_WHEN_MAX : when_ms, text);
	n += RECORD_HEAD;
	if (s->mac(s->arg, label, r->bytes, n, name, name_len, mac) == -1)
		return;
	memcpy(r->bytes + n, mac, RECORD_TAG);
	r->len = n + RECORD_TAG;
}

/* In a time that does not depend on where they differ. */
static bool
equal(const uint8_t *a, const char *b, size_t n)
{
	uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (uint8_t)(a[i] ^ (uint8_t)b[i]);
	return diff == 0;
}

int
record_get(const char *bytes, size_t len, const struct record_seal *s, const char *label,
    const void *name, size_t name_len, uint64_t *when_ms, char *text)
{
	uint8_t mac[32];
	uint64_t when = 0;
	size_t n;

	if (len <= RECORD_HEAD + RECORD_TAG || len >= RECORD_MAX || bytes[0] != RECORD_VERSION)
		return -1;
	n = len - RECORD_TAG;
	for (size_t i = 1; i < RECORD_HEAD; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return -1;
		when = when * 10 + (uint64_t)(bytes[i] - '0');
	}
	if (s->mac(s->arg, label, bytes, n, name, name_len, mac) == -1 ||
	    !equal(mac, bytes + n, RECORD_TAG) || memchr(bytes + RECORD_HEAD, 0, n - RECORD_HEAD))
		return -1;
	*when_ms = when;
	memcpy(text, bytes + RECORD_HEAD, n - RECORD_HEAD);
	text[n - RECORD_HEAD] = '\0';
	return 0;
}
