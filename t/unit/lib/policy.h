/* policy.h: what the tests of both configuration files share: files to load, errors to expect */
#ifndef T_UNIT_LIB_POLICY_H
#define T_UNIT_LIB_POLICY_H

#include "policy/errlist.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A wrong file and every error that it must give, in order: the line, and a part of the text. */
struct bad {
	const char *name, *text;
	struct {
		int line;
		const char *part;
	} want[6];
};

/* A directory of this test alone; removed with the files in it by dir_end(). */
static inline void
dir_begin(char dir[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, PATH_MAX, "%s/smbgate-t-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		exit(1);
	}
}

static inline void
dir_end(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *f;

	while (d != NULL && (f = readdir(d)) != NULL)
		unlinkat(dirfd(d), f->d_name, 0);
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

static inline void
file_write(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(text, 1, n, f) != n || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
}

static inline void
file_path(char dst[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(dst, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		exit(1);
}

/* Whether e says just what b wants, of the file `path`; else both are written to stderr. */
static inline int
errors_match(const struct bad *b, const char *path, const struct errlist *e)
{
	size_t n = 0;
	int ok;

	while (n < COUNT(b->want) && b->want[n].part != NULL)
		n++;
	ok = e->n == n && e->total == n;
	for (size_t i = 0; ok && i < n; i++) {
		char start[PATH_MAX + 32];

		snprintf(start, sizeof(start), "%s:%d: ", path, b->want[i].line);
		ok = strncmp(e->text[i], start, strlen(start)) == 0 &&
		    e->line[i] == b->want[i].line &&
		    strstr(e->text[i] + strlen(start), b->want[i].part) != NULL;
	}
	if (ok)
		return 1;
	fprintf(stderr, "# %s: wanted %zu\n", b->name, n);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "#   %d: %s\n", b->want[i].line, b->want[i].part);
	fprintf(stderr, "# got %zu of %zu\n", e->n, e->total);
	for (size_t i = 0; i < e->n; i++)
		fprintf(stderr, "#   %s\n", e->text[i]);
	return 0;
}

#endif
