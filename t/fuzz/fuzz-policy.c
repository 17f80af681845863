/* fuzz-policy.c: libFuzzer target: policy.conf; what is in force, printed, is the same policy */
/* for: policy/conftext.c policy/schema.c policy/schema_node.c policy/schema_iface.c */
/* for: policy/print.c */
#include "config.h"

#include "policy/diff.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/print.h"
#include "policy/schema.h"
#include "t/fuzz/onfile.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
printed(const struct policy *p)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	HOLDS(out != NULL);
	policy_print(p, out);
	HOLDS(fclose(out) == 0);
	return text;
}

/* The one other file, beside the policy's: what is behind a NUL in the input is in it. */
#define OTHER 900

/* It names files that are not that one: none is there. */
static bool
names_files(const uint8_t *p, size_t n)
{
	static const char *const good[] = { " = \"900\"", " = { \"900\" }" };
	const uint8_t *at = p, *end = p + n;

	while (at < end && (at = memmem(at, (size_t)(end - at), "-file", 5)) != NULL) {
		bool is_good = false;

		at += 5;
		for (int i = 0; i < 2; i++)
			is_good |= (size_t)(end - at) > strlen(good[i]) &&
			    memcmp(at, good[i], strlen(good[i])) == 0;
		if (!is_good)
			return true;
	}
	return false;
}

static void
differs(void *arg, const char *line)
{
	fprintf(stderr, "%s\n%s", line, (const char *)arg);
}

/* Read again, with the same words in its file, it is the same or refused as a whole. */
static void
fuzz_again(const char *path, const struct policy *p)
{
	static char where[] = "read again";
	struct errlist e = { .n = 0 };
	struct policy *again = schema_again(p, path, &e);

	HOLDS(again != NULL || e.total > 0);
	if (again != NULL)
		HOLDS(again->nnodes == p->nnodes && policy_diff(p, again, differs, where) == 0);
	errlist_fini(&e);
	policy_unref(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct onfile f = { .fd = -1 }, other;
	const uint8_t *nul = size == 0 ? NULL : memchr(data, 0, size);
	size_t n = nul == NULL ? size : (size_t)(nul - data);
	struct errlist e = { .n = 0 };
	struct policy *p, *again;
	char *first, *second;

	if (f.fd == -1) {
		f = onfile_new();
		other = onfile_new();
		HOLDS(dup2(other.fd, OTHER) == OTHER);
	}
	if (names_files(data, n))
		return 0;
	onfile_put(&f, data, n);
	onfile_put(&other, data + n + (n < size), size - n - (n < size));
	p = schema_load(f.path, &e);
	HOLDS((p == NULL) == (e.total > 0));
	for (size_t i = 0; i < e.n; i++)
		HOLDS(strchr(e.text[i], '\n') == NULL);
	errlist_fini(&e);
	if (p == NULL)
		return 0;
	fuzz_again(f.path, p);
	first = printed(p);
	onfile_put(&f, first, strlen(first));
	again = schema_load(f.path, &e);
	if (again == NULL)
		fprintf(stderr, "%s%s\n", first, e.text[0]);
	HOLDS(again != NULL && e.total == 0);
	HOLDS(policy_diff(p, again, differs, first) == 0);
	second = printed(again);
	HOLDS(strcmp(first, second) == 0);
	policy_unref(&p);
	policy_unref(&again);
	free(first);
	free(second);
	return 0;
}
