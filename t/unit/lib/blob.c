/* blob.c: security buffers: made by a test, published ones, and every change of one */
#include "config.h"

#include "t/unit/lib/blob.h"

#include "smb/neg2.h"
#include "smb/sess2.h"
#include "t/unit/lib/vectors.h"
#include "t/unit/lib/walkauth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct blob
bytes(const void *p, size_t n)
{
	struct blob x = { .n = n };

	assert_true(n <= sizeof(x.b));
	memcpy(x.b, p, n);
	return x;
}

struct blob
ntlm(uint32_t type, size_t n)
{
	struct blob x = bytes("NTLMSSP\0", 8);

	for (int i = 0; i < 4; i++)
		x.b[8 + i] = (uint8_t)(type >> 8 * i);
	x.n = n;
	return x;
}

uint8_t *
buffer_of(const char *name, size_t *n_r)
{
	size_t n;
	uint8_t *p = vector(name, &n), *out;
	struct sess2_req req;
	struct sess2_resp answer;
	struct neg2_resp neg;

	if (sess2_req_get(&req, p, n) == 0) {
		out = exact(req.blob, *n_r = req.blob_len);
	} else if (sess2_resp_get(&answer, p, n) == 0) {
		out = exact(answer.blob, *n_r = answer.blob_len);
	} else {
		assert_int_equal(neg2_resp_get(&neg, p, n), 0);
		out = exact(neg.blob, *n_r = neg.blob_len);
	}
	free(p);
	return out;
}

void
mutate_all(const uint8_t *p, size_t n)
{
	uint8_t *q = exact(p, n);

	for (size_t i = 0; i < n; i++) {
		for (unsigned v = 0; v < 256; v++) {
			q[i] = (uint8_t)v;
			(void)walk_token(q, n);
			(void)walk_ntlm(q, n);
		}
		q[i] = p[i];
	}
	free(q);
}
