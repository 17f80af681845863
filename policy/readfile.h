/* readfile.h: a whole file in memory */
#ifndef POLICY_READFILE_H
#define POLICY_READFILE_H

#include <stddef.h>

/* A regular file of at most max bytes, with a NUL behind it; or NULL and what is wrong with it. */
char *readfile(const char *path, size_t max, const char **why_r);

#endif
