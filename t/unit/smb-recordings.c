/* smb-recordings.c: the codec on recorded conversations, cut short and changed at random */
#include "config.h"

#include "t/unit/lib/vectors.h"
#include "t/unit/lib/walk.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Stops a run on a slow machine, or under valgrind: what counts is that every run is another. */
#define MUTATIONS 200000
#define MUTATE_MS 2000

struct frame {
	uint8_t *p;
	size_t n;
	bool to_client, judged;
};

struct corpus {
	struct frame *frames;
	size_t n;
	unsigned files;
};

static void
corpus_add(struct corpus *c, const uint8_t *p, size_t n, bool to_client, bool judged)
{
	c->frames = realloc(c->frames, (c->n + 1) * sizeof(*c->frames));
	assert_non_null(c->frames);
	c->frames[c->n++] = (struct frame){ exact(p, n), n, to_client, judged };
}

/* Records {u8 direction, u32 length, bytes}, each a frame with its transport header. */
static void
corpus_file(struct corpus *c, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t head[5], *p;

	if (f == NULL)
		fail_msg("%s: cannot be read", path);
	while (fread(head, 1, sizeof(head), f) == sizeof(head)) {
		size_t n = head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16;
		struct nbss nb;

		assert_true(head[4] == 0 && n >= NBSS_HDR_LEN);
		p = malloc(n);
		assert_non_null(p);
		assert_int_equal(fread(p, 1, n, f), n);
		assert_int_equal(nbss_get(&nb, p, n), 0);
		assert_int_equal(nb.len, n - NBSS_HDR_LEN);
		corpus_add(c, p + NBSS_HDR_LEN, nb.len, head[0] != 0, true);
		free(p);
	}
	fclose(f);
	c->files++;
}

static int
setup(void **state)
{
	const char *srcdir = getenv("srcdir");
	struct corpus *c = calloc(1, sizeof(*c));
	struct dirent *e;
	char dir[4096];
	DIR *d;

	assert_non_null(c);
	for (size_t i = 0; i < VECTORS; i++) {
		size_t n;
		uint8_t *p = unhex(vectors[i].hex, &n);

		corpus_add(c, p, n, false, false);
		free(p);
	}
	snprintf(dir, sizeof(dir), "%s/t/frames", srcdir != NULL ? srcdir : ".");
	d = opendir(dir);
	if (d == NULL)
		fail_msg("%s: cannot be read", dir);
	while ((e = readdir(d)) != NULL) {
		const char *dot = strrchr(e->d_name, '.');
		char path[4096 + 257];

		if (dot == NULL || strcmp(dot, ".conv") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		corpus_file(c, path);
	}
	closedir(d);
	*state = c;
	return 0;
}

static int
teardown(void **state)
{
	struct corpus *c = *state;

	for (size_t i = 0; i < c->n; i++)
		free(c->frames[i].p);
	free(c->frames);
	free(c);
	return 0;
}

/* Whether one of the getters has to know this message: 1 or 0. */
static unsigned
expected(const struct hdr2 *h, bool to_client)
{
	if (to_client != ((h->flags & SMB2_FLAGS_SERVER_TO_REDIR) != 0))
		fail_msg("a header says the wrong direction");
	switch (h->command) {
	case SMB2_NEGOTIATE:
		return !to_client || h->status == STATUS_SUCCESS;
	case SMB2_SESSION_SETUP:
		return !to_client || h->status == STATUS_SUCCESS ||
		    h->status == STATUS_MORE_PROCESSING_REQUIRED;
	case SMB2_IOCTL:
		return !to_client || h->status == STATUS_SUCCESS;
	default:
		return 0;
	}
}

/* All that real clients and servers said is well formed. */
static void
recorded(void **state)
{
	const struct corpus *c = *state;
	struct walk_count all = { 0 };
	unsigned judged = 0, unknown = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct frame *f = &c->frames[i];
		struct walk_count count = { 0 };
		unsigned want = 0, got;
		struct chain2 chain;
		struct part2 part;

		walk_frame(f->p, f->n, &all);
		if (!f->judged || f->n == 0)
			continue;
		judged++;
		walk_frame(f->p, f->n, &count);
		if (f->p[0] == 0xff) {
			assert_int_equal(count.neg1, !f->to_client);
			continue;
		}
		if (f->p[0] == 0xfd) {
			struct xform x;

			assert_int_equal(count.xform, 1);
			assert_int_equal(xform_get(&x, f->p, f->n), 0);
			assert_int_equal(x.original_size, f->n - SMB2_TRANSFORM_LEN);
			continue;
		}
		if (f->p[0] != 0xfe) {
			unknown++;
			continue;
		}
		chain2_init(&chain, f->p, f->n);
		while (chain2_next(&chain, &part) == 1) {
			want += expected(&part.hdr, f->to_client);
		}
		assert_true(chain.end);
		got = (unsigned)(count.neg_req + count.neg_resp + count.sess_req +
		    count.sess_resp + count.ioctl_req + count.ioctl_resp);
		assert_int_equal(got, want);
	}
	assert_int_equal(unknown, 0);
	print_message("# %u files, %u frames, %lu messages\n", c->files, judged, all.parts);
	print_message("# negotiate %lu/%lu setup %lu/%lu ioctl %lu/%lu lists %lu smb1 %lu "
	    "sealed %lu\n", all.neg_req, all.neg_resp, all.sess_req, all.sess_resp, all.ioctl_req,
	all.ioctl_resp,
	    all.lists, all.neg1, all.xform);
	/* Every getter has had something to know. */
	assert_true(all.neg_req > 0 && all.neg_resp > 0 && all.sess_req > 0 && all.sess_resp > 0 &&
	    all.ioctl_req > 0 && all.ioctl_resp > 0 && all.lists > 0 && all.neg1 > 0 &&
	    all.xform > 0);
}

/* Every message cut at every length: the walk checks what must hold, a sanitizer the reads. */
static void
cut(void **state)
{
	struct walk_count count = { 0 };

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		size_t n;
		uint8_t *p = unhex(vectors[i].hex, &n);

		for (size_t len = 0; len < n; len++) {
			uint8_t *q = exact(p, len);

			walk_frame(q, len, &count);
			(void)walk_ifinfo(q, len);
			free(q);
		}
		free(p);
	}
	assert_true(count.frames > 5000);
}

static uint64_t
next_random(uint64_t *s)
{
	/* xorshift64*: the same everywhere, so that a printed seed is a test case. */
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Changes a few places of p[0, n) into what breaks parsers: limits, neighbours, any value. */
static void
mutate(uint8_t *p, size_t n, uint64_t *s)
{
	static const uint32_t odd[] = { 0, 1, 7, 8, 63, 64, 65, 72, 112, 151, 152, 153, 160, 255,
		256,
		0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	unsigned times = 1 + next_random(s) % 4;

	while (times-- > 0) {
		uint64_t r = next_random(s);
		/* Headers and fixed parts have most of the offsets and lengths. */
		size_t span = (r & 3) != 0 && n > 192 ? 192 : n, at = (r >> 8) % span;
		size_t size = (size_t)1 << (r >> 4 & 3) % 3;
		uint32_t v;

		switch (r >> 2 & 3) {
		case 0:
			p[at] ^= (uint8_t)(1 << (r >> 40 & 7));
			continue;
		case 1:
			v = odd[(r >> 40) % (sizeof(odd) / sizeof(odd[0]))];
			break;
		case 2:
			v = (uint32_t)n + (uint32_t)(r >> 40 & 31) - 16;
			break;
		default:
			v = (uint32_t)(r >> 32);
			break;
		}
		/* Fields lie at multiples of their size. */
		at &= ~(size - 1);
		for (size_t i = 0; i < size && at + i < n; i++)
			p[at + i] = (uint8_t)(v >> (8 * i));
	}
}

static void
mutated(void **state)
{
	const struct corpus *c = *state;
	const char *text = getenv("SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL), s;
	struct walk_count count = { 0 };
	uint64_t end = now_ms() + MUTATE_MS;
	unsigned long rounds = 0, well = 0;

	/* Printed before, so that it is known when a sanitizer ends the run. */
	print_message("# SEED=%llu\n", (unsigned long long)seed);
	s = seed * 2 + 1;
	while (rounds < MUTATIONS && (rounds % 256 != 0 || now_ms() < end)) {
		const struct frame *f = &c->frames[next_random(&s) % c->n];
		size_t n = f->n;
		uint8_t *p;

		rounds++;
		if (n == 0)
			continue;
		if (next_random(&s) % 8 == 0)
			n = 1 + next_random(&s) % n;
		p = exact(f->p, n);
		mutate(p, n, &s);
		walk_frame(p, n, &count);
		if (n > 112)
			(void)walk_ifinfo(p + 112, n - 112);
		free(p);
	}
	well = count.neg_req + count.neg_resp + count.sess_req + count.sess_resp + count.ioctl_req +
	    count.ioctl_resp;
	print_message("# %lu rounds, %lu messages, %lu of them well formed, %lu lists\n", rounds,
	    count.parts, well, count.lists);
	/* Neither all refused nor nothing changed. */
	assert_true(rounds >= 256);
	assert_true(well > 0 && well < count.parts);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded),
		cmocka_unit_test(cut),
		cmocka_unit_test(mutated),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
