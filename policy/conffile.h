/* conffile.h: what both configuration files share: parsing with every error collected, values with units, paths */
#ifndef POLICY_CONFFILE_H
#define POLICY_CONFFILE_H

#include <stdint.h>

struct errlist;

/* "25G", "10M", "1000000000" to bits per second; "15m", "2s", "500ms" to milliseconds. -1: no. */
int conffile_speed(uint64_t *dst, const char *text) __attribute__((warn_unused_result));
int conffile_duration(unsigned *dst_ms, const char *text) __attribute__((warn_unused_result));

/* path as it is when absolute, else joined with the directory of file. The caller frees it. */
char *conffile_path(const char *file, const char *path);

#endif
