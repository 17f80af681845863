/* fuzz-split.c: libFuzzer target: any bytes of both sides; where they are cut changes nothing */
/* for: inspect/parts.c inspect/classify.c */
/* drives: proxy/pump.c inspect/smb1.c */
#include "config.h"

#include "base/log.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"
#include "t/unit/lib/talk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The input is records as t/frames has them: {u8 direction and whether it is cut, u32 length,
 * bytes}. They are played as they are, byte by byte, and in pieces that the bytes choose. In the
 * end the same has gone to each side, and for the same reason. Bit 1 of the first byte: the client
 * has offered SMB1 dialects alone, and may.
 */
static const char policy[] = "node \"n1\" { address = \"127.0.0.11:445\" }\n"
                             "addresses { deny = { \"127.0.0.1\" } }\n"
                             "interfaces \"lan\" { mode = announce\n"
                             "  address \"10.9.8.7\" { speed = \"25G\" rss = true }\n"
                             "}\n";
static const char with_smb1[] = "node \"n1\" { address = \"127.0.0.11:445\" }\n"
                                "smb1 = allow\nvc-reset = identity\n";

enum how { WHOLE, BYTES, PIECES };

/* In memory of its own, so that a sanitizer sees what is read behind it. */
static void
feed(struct talk *t, enum dir dir, const uint8_t *p, size_t n)
{
	static uint8_t *one;
	uint8_t *copy = n == 1 ? one : malloc(n);

	if (copy == NULL)
		copy = malloc(n);
	HOLDS(copy != NULL);
	memcpy(copy, p, n);
	(void)talk_feed(t, dir, copy, n);
	if (n == 1)
		one = copy;
	else
		free(copy);
}

/* Byte by byte where something is read: behind that it is all alike, but for the end. */
static size_t
bytes(size_t at, size_t n)
{
	return at < 256 || n - at < 32 ? 1 : n - at - 31;
}

static void
play(struct talk *t, const uint8_t *p, size_t size, enum how how)
{
	while (size > 5 && !t->closed) {
		const enum dir dir = (p[0] & 1) != 0 ? S2C : C2S;
		size_t n = reader_u32(p + 1), step;

		p += 5;
		size -= 5;
		n = n < size ? n : size;
		for (size_t at = 0; at < n && !t->closed; at += step) {
			step = how == WHOLE ? n : how == BYTES ? bytes(at, n) : 1 + p[at] % 61u;
			step = step < n - at ? step : n - at;
			feed(t, dir, p + at, step);
		}
		p += n;
		size -= n;
	}
}

static void
begin(struct talk *t, const uint8_t *p, size_t size)
{
	static struct mediate_env *env[2];
	const bool smb1 = size > 0 && (p[0] & 2) != 0;

	log_set_level(LOG_LEVEL_ERROR);
	if (env[smb1] == NULL)
		env[smb1] = talk_env_new(smb1 ? with_smb1 : policy);
	talk_init(t, env[smb1], "lan", "127.0.0.2");
	if (smb1)
		track_negotiate_smb1(&t->conn.mediate.track);
}

/* What a frame that ends the connection leaves behind may differ; not what was sent whole. */
static void
same(const struct talk *a, const struct talk *b)
{
	HOLDS(a->closed == b->closed && (!a->closed || a->why == b->why));
	for (int d = 0; d < 2; d++) {
		const struct buf *x = &a->side[d].out, *y = &b->side[d].out;
		size_t n = buf_len(x) < buf_len(y) ? buf_len(x) : buf_len(y);

		HOLDS(a->closed || buf_len(x) == buf_len(y));
		HOLDS(n == 0 || memcmp(buf_head(x), buf_head(y), n) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct talk whole, cut;

	begin(&whole, data, size);
	play(&whole, data, size, WHOLE);
	talk_end(&whole);
	for (enum how how = BYTES; how <= PIECES; how++) {
		begin(&cut, data, size);
		play(&cut, data, size, how);
		talk_end(&cut);
		same(&whole, &cut);
		talk_fini(&cut);
	}
	talk_fini(&whole);
	return 0;
}
