/* proxy-split.c: recorded conversations, cut at every byte, give the same output bytes as uncut */
/* Those of t/frames, and of the folder that SMBGATE_CAPTURES names. */
#include "config.h"

#include "t/unit/lib/talk.h"

#include "base/rd.h"
#include "smb/const.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A policy that changes what it can: another list, and every bind through 127.0.0.1 refused. */
static const char policy[] = "node \"n1\" { address = \"127.0.0.11:445\" }\n"
                             "addresses { deny = { \"127.0.0.1\" } }\n"
                             "interfaces \"lan\" { mode = announce\n"
                             "  address \"10.9.8.7\" { speed = \"25G\" rss = true }\n"
                             "  address \"fd00::9\" { speed = \"10G\" }\n"
                             "}\n";

struct record {
	enum dir dir;
	const uint8_t *p;
	size_t n;
};

#define RECORDS_MAX 512

/* Every cut of a tape is played up to here; of longer ones some, for each plays the whole tape. */
#define CUTS_ALL 20000
#define CUTS_SOME 3000

struct tape {
	uint8_t *data;
	size_t size;
	struct record rec[RECORDS_MAX];
	size_t n;
};

/* {u8 direction, u32 length, bytes} ...; what conn.c does before the node is there is left out. */
static void
tape_load(struct tape *t, const char *path)
{
	FILE *f = fopen(path, "rb");
	struct rd r;
	bool smb2 = false;

	memset(t, 0, sizeof(*t));
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	t->size = (size_t)ftell(f);
	rewind(f);
	t->data = malloc(t->size);
	assert_non_null(t->data);
	assert_int_equal(fread(t->data, 1, t->size, f), t->size);
	fclose(f);
	r = rd_init(t->data, t->size);
	while (rd_left(&r) > 0) {
		struct record *rec = &t->rec[t->n];

		assert_true(t->n < RECORDS_MAX);
		rec->dir = rd_u8(&r) == 0 ? C2S : S2C;
		rec->n = rd_u32(&r);
		rec->p = rd_bytes(&r, rec->n);
		assert_true(rd_ok(&r));
		/* The multi-protocol exchange ends with the client's SMB2 NEGOTIATE. */
		smb2 |= rec->dir == C2S && rec->n > 4 && rec->p[4] == 0xfe;
		if (smb2)
			t->n++;
	}
}

/* Plays the tape, record `cut` in two pieces at `at`, or all in single bytes (at == SIZE_MAX). */
static void
play(struct talk *t, struct mediate_env *env, const struct tape *tape, size_t cut, size_t at)
{
	talk_init(t, env, "lan", "127.0.0.2");
	for (size_t i = 0; i < tape->n; i++) {
		const struct record *r = &tape->rec[i];

		if (at == SIZE_MAX) {
			for (size_t k = 0; k < r->n; k++)
				talk_feed(t, r->dir, r->p + k, 1);
		} else if (i == cut && at > 0) {
			talk_feed(t, r->dir, r->p, at);
			talk_feed(t, r->dir, r->p + at, r->n - at);
		} else {
			talk_feed(t, r->dir, r->p, r->n);
		}
	}
}

/* Pieces of any size, across the ends of records of one direction. */
static void
play_random(struct talk *t, struct mediate_env *env, const struct tape *tape)
{
	talk_init(t, env, "lan", "127.0.0.2");
	for (size_t i = 0; i < tape->n;) {
		const struct record *r = &tape->rec[i];
		struct buf all = { .mem = NULL };
		size_t pos = 0, k = i;

		for (; k < tape->n && tape->rec[k].dir == r->dir; k++)
			assert_int_equal(buf_add(&all, tape->rec[k].p, tape->rec[k].n), 0);
		while (pos < buf_len(&all)) {
			size_t n = 1 + (size_t)rand() % 200;

			if (n > buf_len(&all) - pos)
				n = buf_len(&all) - pos;
			talk_feed(t, r->dir, buf_head(&all) + pos, n);
			pos += n;
		}
		buf_fini(&all);
		i = k;
	}
}

static void
same(const struct talk *a, const struct talk *b)
{
	assert_int_equal(a->closed, b->closed);
	for (int d = 0; d < 2; d++) {
		assert_int_equal(buf_len(&a->side[d].out), buf_len(&b->side[d].out));
		if (buf_len(&a->side[d].out) > 0)
			assert_memory_equal(buf_head(&a->side[d].out), buf_head(&b->side[d].out),
			    buf_len(&a->side[d].out));
	}
}

static size_t
total(const struct tape *t, enum dir d)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->rec[i].dir == d ? t->rec[i].n : 0;
	return n;
}

static void
test_tape(void **state)
{
	const char *path = *state;
	struct talk whole, cut;
	struct mediate_env *env;
	struct tape tape;
	size_t runs = 0, size;

	tape_load(&tape, path);
	if (tape.n == 0) {
		/* SMB1 alone: t/e2e/clients-captures.t has it. */
		free(tape.data);
		return;
	}
	env = talk_env_new(policy);
	play(&whole, env, &tape, 0, 0);
	assert_false(whole.closed);
	/* Every byte of a real conversation has left, or was exchanged for others. */
	assert_true(pump_idle(&whole.side[C2S].pump));
	assert_true(pump_idle(&whole.side[S2C].pump));
	assert_true(buf_len(&whole.side[C2S].out) > 0);
	if (strstr(path, "ifinfo-unsigned") == NULL && strstr(path, "ifinfo-guest") == NULL &&
	    strstr(path, "ifinfo-anonymous") == NULL && strstr(path, "ifinfo-compounds") == NULL)
		assert_int_equal(buf_len(&whole.side[S2C].out), total(&tape, S2C));
	/* Or the same sessions would be alive at another node when they are opened again. */
	talk_end(&whole);
	size = total(&tape, C2S) + total(&tape, S2C);
	for (size_t i = 0; i < tape.n; i++) {
		for (size_t at = 1; at < tape.rec[i].n; at++) {
			if (size > CUTS_ALL && (size_t)rand() % size >= CUTS_SOME)
				continue;
			play(&cut, env, &tape, i, at);
			same(&whole, &cut);
			talk_fini(&cut);
			runs++;
		}
	}
	play(&cut, env, &tape, 0, SIZE_MAX);
	same(&whole, &cut);
	talk_fini(&cut);
	for (int i = 0; i < 100; i++) {
		play_random(&cut, env, &tape);
		same(&whole, &cut);
		talk_fini(&cut);
	}
	printf("# %s: %zu frames, %zu cuts, %u + %u frames held\n", path, tape.n, runs,
	    whole.side[C2S].frames_held, whole.side[S2C].frames_held);
	talk_fini(&whole);
	talk_env_free(env);
	free(tape.data);
}

static int
is_conv(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot != NULL && strcmp(dot, ".conv") == 0;
}

struct tests {
	struct CMUnitTest *test;
	size_t n;
};

/* Adds a test for each conversation in the folder; returns how many. */
static int
tests_add(struct tests *t, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_conv, alphasort);

	for (int i = 0; i < n; i++) {
		char *path = NULL;

		t->test = realloc(t->test, (t->n + 1) * sizeof(*t->test));
		if (t->test == NULL || asprintf(&path, "%s/%s", dir, names[i]->d_name) == -1)
			abort();
		t->test[t->n++] = (struct CMUnitTest){
			.name = strrchr(path, '/') + 1,
			.test_func = test_tape,
			.initial_state = path,
		};
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return n;
}

int
main(void)
{
	const char *srcdir = getenv("srcdir"), *captures = getenv("SMBGATE_CAPTURES");
	unsigned seed =
	    getenv("SEED") != NULL ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL);
	struct tests tests = { .n = 0 };
	char dir[4096];
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	snprintf(dir, sizeof(dir), "%s/t/frames", srcdir != NULL ? srcdir : ".");
	if (tests_add(&tests, dir) <= 0) {
		printf("Bail out! no conversations in %s\n", dir);
		return 1;
	}
	if (captures != NULL && tests_add(&tests, captures) <= 0) {
		printf("Bail out! no conversations in %s\n", captures);
		return 1;
	}
	printf("# SEED=%u\n", seed);
	srand(seed);
	failed = _cmocka_run_group_tests("split", tests.test, tests.n, NULL, NULL);
	for (size_t i = 0; i < tests.n; i++)
		free(tests.test[i].initial_state);
	free(tests.test);
	return failed;
}
