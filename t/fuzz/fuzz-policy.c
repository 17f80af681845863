/* fuzz-policy.c: libFuzzer target: policy.conf; what is in force, printed, is the same policy */
/* for: policy/conftext.c policy/schema.c policy/schema_node.c policy/print.c */
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

/* It names other files: none is there. */
static bool
names_files(const uint8_t *p, size_t n)
{
	return n > 0 && memmem(p, n, "-file", 5) != NULL;
}

static void
differs(void *arg, const char *line)
{
	fprintf(stderr, "%s\n%s", line, (const char *)arg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct onfile f = { .fd = -1 };
	struct errlist e = { .n = 0 };
	struct policy *p, *again;
	char *first, *second;

	if (f.fd == -1)
		f = onfile_new();
	if (names_files(data, size))
		return 0;
	onfile_put(&f, data, size);
	p = schema_load(f.path, &e);
	HOLDS((p == NULL) == (e.total > 0));
	for (size_t i = 0; i < e.n; i++)
		HOLDS(strchr(e.text[i], '\n') == NULL);
	errlist_fini(&e);
	if (p == NULL)
		return 0;
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
