/* denyfile.c: addresses out of a CTDB public_addresses file */
#include "config.h"

#include "policy/denyfile.h"

#include "policy/acl.h"
#include "policy/errlist.h"
#include "policy/readfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of addresses fit. */
#define DENYFILE_MAX (1u << 20)

/* "10.1.0.100/24": the address. */
static int
address(struct addr *dst, const char *word)
{
	char text[ADDR_STRLEN], *end;
	const char *slash = strchr(word, '/');
	size_t n = slash == NULL ? sizeof(text) : (size_t)(slash - word);
	unsigned long mask;

	if (n >= sizeof(text))
		return -1;
	memcpy(text, word, n);
	text[n] = '\0';
	if (addr_parse(dst, text) == -1 || slash[1] < '0' || slash[1] > '9')
		return -1;
	mask = strtoul(slash + 1, &end, 10);
	return *end != '\0' || mask > (addr_is_v4(dst) ? 32 : 128) ? -1 : 0;
}

void
denyfile_load(struct acl *acl, const char *path, const char *from, int line,
    struct errlist *from_errors, struct errlist *errors)
{
	const char *why;
	char *text = readfile(path, DENYFILE_MAX, &why), *rest = text, *s;
	int n = 0;

	if (text == NULL) {
		/* Confined, smbgate reads where its files were at the start: daemon/confine.c. */
		errlist_add(from_errors, from, line, "deny-file %s: %s%s", path, why,
		    strcmp(why, strerror(EACCES)) != 0 ? "" :
		    " (it must be readable for smbgate's user; in another folder than before, "
		    "only a restart finds it)");
		return;
	}
	if (readfile_lone_cr(text) != 0) {
		errlist_add(errors, path, readfile_lone_cr(text), READFILE_LONE_CR);
		rest = NULL;
	}
	while ((s = strsep(&rest, "\n")) != NULL) {
		struct prefix p;
		struct addr a;
		char *word;

		n++;
		s[strcspn(s, "#\r")] = '\0';
		s += strspn(s, " \t");
		word = strsep(&s, " \t");
		if (*word == '\0')
			continue;
		if (address(&a, word) == -1) {
			errlist_add(errors, path, n,
			    "\"%s\" is not ADDRESS/MASK, such as 10.1.0.100/24", word);
			continue;
		}
		p = prefix_host(&a);
		if (acl_add(acl, &p, true) == 0) {
			acl_stands(acl, 0, n);
		} else {
			if (acl->n < ACL_RULES_MAX)
				errlist_add(errors, path, n, "out of memory");
			else
				errlist_add(errors, path, n,
				    "too many address rules: at most %d are allowed",
				    ACL_RULES_MAX);
			break;
		}
	}
	free(text);
}
