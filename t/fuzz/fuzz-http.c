/* fuzz-http.c: libFuzzer target: the head of a request over HTTP, however it is cut */
/* for: daemon/http_request.c */
#include "config.h"

#include "daemon/http_request.h"
#include "t/unit/lib/holds.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the empty line ends, [RFC 9112] 2.2: a line at a time. */
static size_t
slowly(const char *p, size_t n)
{
	size_t start = 0;
	const char *nl;

	while (start < n && (nl = memchr(p + start, '\n', n - start)) != NULL) {
		size_t line = (size_t)(nl - p) - start;

		if (start > 0 && (line == 0 || (line == 1 && p[start] == '\r')))
			return (size_t)(nl - p) + 1;
		start = (size_t)(nl - p) + 1;
	}
	return 0;
}

static void
fuzz_get(const char *p, size_t n)
{
	struct http_request r, again;
	char text[HTTP_PATH_MAX + 32];
	int status = http_request_get(&r, p, n), k;

	HOLDS(status == 0 || status == 400 || status == 405 || status == 505);
	if (status != 0)
		return;
	HOLDS(n >= 4 && memcmp(p, r.head ? "HEAD" : "GET ", 4) == 0);
	HOLDS(r.path[0] == '\0' || r.path[0] == '/');
	for (const char *c = r.path; *c != '\0'; c++)
		HOLDS(*c > ' ' && *c < 127 && *c != '?');
	if (r.path[0] == '\0')
		return;
	/* The path alone asks for the same. */
	k = snprintf(text, sizeof(text), "GET %s HTTP/1.0\n\n", r.path);
	HOLDS(http_request_get(&again, text, (size_t)k) == 0 && strcmp(again.path, r.path) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t n = http_head_len(p, size);

	HOLDS(n == slowly(p, size));
	HOLDS(n <= size && (n == 0 || http_head_len(p, n) == n));
	HOLDS(n == 0 || http_head_len(p, n - 1) == 0);
	/* Whether it is whole or not. */
	fuzz_get(p, size);
	if (n > 0)
		fuzz_get(p, n);
	return 0;
}
