/* seal.c: the seals of two clusters on what their proxies write into Redis, for tests */
#include "config.h"

#include "t/unit/lib/seal.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Stands in for HMAC-SHA256: depends on every byte and on where it stands. */
static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	const void *part[] = { label, a, b };
	const size_t len[] = { strlen(label), an, bn };
	uint64_t h = 14695981039346656037ull ^ *(const unsigned *)arg;

	for (int i = 0; i < 3; i++) {
		for (size_t k = 0; k < len[i]; k++)
			h = (h ^ ((const uint8_t *)part[i])[k]) * 1099511628211ull;
		h = (h ^ len[i]) * 1099511628211ull;
	}
	for (int i = 0; i < 32; i++, h = h * 6364136223846793005ull + 1442695040888963407ull)
		out[i] = (uint8_t)(h >> 56);
	return 0;
}

static const unsigned secret = 1, other_secret = 2;
const struct record_seal seal = { .arg = &secret, .mac = mac };
const struct record_seal other_seal = { .arg = &other_secret, .mac = mac };
