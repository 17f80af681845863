/* conversation.c: program: conversations of fuzz-conversation.c by random numbers, for long runs */
#include "config.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The conversation under way. */
static volatile uint64_t now_at;

/* A difference, or a sanitizer, ends the program: the seed is said with what is safe to call. */
static void
say_seed(int sig)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = "the conversation with --seed 0x0000000000000000 --runs 1\n";

	for (unsigned i = 0; i < 16; i++)
		text[31 + i] = digits[now_at >> (60 - 4 * i) & 15];
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static uint64_t
mix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void
one(uint64_t seed)
{
	uint64_t x = seed, words[64];
	size_t n;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		words[i] = mix(&x);
	/* Most are short: many beginnings find more than few long ones. */
	n = 12 + mix(&x) % (mix(&x) % 16 == 0 ? sizeof(words) - 12 : 84);
	LLVMFuzzerTestOneInput((const uint8_t *)words, n);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
usage(void)
{
	fputs("usage: t/conversation [--seed N] [--runs N] [--seconds N]\n"
	      "\n"
	      "Conversation number n has the seed N + n; a difference is said with its seed:\n"
	      "CONVERSATION=1 t/conversation --seed N --runs 1 tells it.\n", stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL) << 32, runs = UINT64_MAX, n = 0;
	double limit = 1e18, began = seconds(), said = began;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			usage();
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--runs") == 0)
			runs = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seconds") == 0)
			limit = strtod(argv[i + 1], NULL);
		else
			usage();
	}
	signal(SIGABRT, say_seed);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %#llx\n", (unsigned long long)seed);
	for (; n < runs; n++) {
		now_at = seed + n;
		one(now_at);
		if (n % 1024 != 1023)
			continue;
		if (seconds() - began >= limit)
			break;
		if (seconds() - said >= 60) {
			said = seconds();
			printf("# %llu conversations, %.0f a second\n", (unsigned long long)n + 1,
			    (double)(n + 1) / (said - began));
		}
	}
	printf("ok - %llu conversations, %.0f a second\n", (unsigned long long)n,
	    (double)n / (seconds() - began));
	return 0;
}
