/* readfile.h: a whole file in memory */
#ifndef POLICY_READFILE_H
#define POLICY_READFILE_H

#include <stddef.h>

/*
 * A regular file of at most max bytes, with a NUL behind it; or NULL and what is wrong with it. The
 * mark with which editors of another system begin a file is left out.
 */
char *readfile(const char *path, size_t max, const char **why_r);

/*
 * The line that ends in CR alone, 0 = none. To all that count lines it is one with those behind it,
 * which a comment there would hide.
 */
int readfile_lone_cr(const char *text);
#define READFILE_LONE_CR "a line ends in CR alone: it must be LF, or CR LF"

#endif
