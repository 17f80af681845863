/* denyfile.c: addresses out of a CTDB public_addresses file */
#include "config.h"

#include "policy/denyfile.h"

#include "policy/acl.h"
#include "policy/conffile.h"
#include "policy/errlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of addresses fit. */
#define DENYFILE_MAX (1u << 20)

/* "10.1.0.100/24": the address; the length is looked at, so that a mangled line is not taken. */
static int
address(struct addr *dst, char *word)
{
	char *slash = strchr(word, '/'), *end;
	unsigned long len;

	if (slash == NULL)
		return addr_parse(dst, word);
	*slash = '\0';
	if (addr_parse(dst, word) == -1 || slash[1] < '0' || slash[1] > '9')
		return -1;
	len = strtoul(slash + 1, &end, 10);
	return *end != '\0' || len > (addr_is_v4(dst) ? 32 : 128) ? -1 : 0;
}

void
denyfile_load(struct acl *acl, const char *path, const char *from, int from_line, struct errlist *e)
{
	const char *why;
	char *text = conffile_read(path, DENYFILE_MAX, &why), *rest = text, *line;
	int n = 0;

	if (text == NULL) {
		errlist_add(e, from, from_line, "deny-file %s: %s", path, why);
		return;
	}
	while ((line = strsep(&rest, "\n")) != NULL) {
		struct prefix p;
		struct addr a;
		char *word;

		n++;
		line[strcspn(line, "#\r")] = '\0';
		line += strspn(line, " \t");
		word = strsep(&line, " \t");
		if (*word == '\0')
			continue;
		if (address(&a, word) == -1) {
			errlist_add(e, path, n, "\"%s\" is not ADDRESS/MASK", word);
			continue;
		}
		p = prefix_host(&a);
		if (acl_add(acl, &p, true) == -1)
			errlist_add(e, path, n, "out of memory");
	}
	free(text);
}
