/* fuzz-denyfile.c: libFuzzer target: a deny-file, against its lines read by sscanf() and libc */
/* for: policy/denyfile.c */
#include "config.h"

#include "policy/acl.h"
#include "policy/denyfile.h"
#include "policy/errlist.h"
#include "t/fuzz/onfile.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The address of a line, as libc has it; its line must have nothing in it that is odd. */
static bool
slowly(char *line, struct addr *a)
{
	char word[128], *slash, *end;
	uint8_t b[16];
	unsigned long mask;

	line[strcspn(line, "#\r")] = '\0';
	if (sscanf(line, "%127[^ \t]", word) != 1 && sscanf(line, "%*[ \t]%127[^ \t]", word) != 1)
		return false;
	slash = strchr(word, '/');
	if (slash == NULL)
		return false;
	*slash++ = '\0';
	mask = strtoul(slash, &end, 10);
	if (strspn(slash, "0123456789") == 0 || *end != '\0')
		return false;
	if (inet_pton(AF_INET, word, b) == 1) {
		*a = addr_from_v4(b);
		return mask <= 32;
	}
	if (inet_pton(AF_INET6, word, b) != 1)
		return false;
	*a = addr_from_v6(b);
	return mask <= (addr_is_v4(a) ? 32 : 128);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct onfile f = { .fd = -1 };
	struct errlist from = { .n = 0 }, e = { .n = 0 };
	struct acl acl = { .n = 0 };
	char *text = strndup((const char *)data, size), *rest = text, *line;
	size_t i = 0;
	int n = 0;

	if (f.fd == -1)
		f = onfile_new();
	HOLDS(text != NULL);
	/* One that is not there is said, and denies nobody. */
	denyfile_load(&acl, "/nowhere/denied", "p", 1, &from, &e);
	HOLDS(from.total == 1 && acl.n == 0);
	errlist_fini(&from);
	from = (struct errlist){ .n = 0 };
	onfile_put(&f, data, size);
	denyfile_load(&acl, f.path, "p", 1, &from, &e);
	/* A NUL is no text. */
	if (strlen(text) < size)
		HOLDS(from.total > 0 && acl.n == 0);
	rest += strncmp(rest, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	/* Behind a CR alone rules would be lost: then there are none. */
	for (const char *c = rest; from.total == 0 && (c = strchr(c, '\r')) != NULL; c++) {
		if (c[1] == '\n' || c[1] == '\0')
			continue;
		HOLDS(e.total == 1 && acl.n == 0);
		rest = NULL;
		break;
	}
	while (from.total == 0 && (line = strsep(&rest, "\n")) != NULL) {
		struct addr a;

		n++;
		if (!slowly(line, &a))
			continue;
		HOLDS(i < acl.n && acl.rules[i].line == n && acl.rules[i].deny &&
		    acl.rules[i].prefix.len == 128 && addr_equal(&acl.rules[i].prefix.addr, &a));
		HOLDS(!acl_allows(&acl, &a));
		i++;
	}
	HOLDS(i == acl.n);
	acl_fini(&acl);
	errlist_fini(&from);
	errlist_fini(&e);
	free(text);
	return 0;
}
