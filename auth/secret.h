/* secret.h: the cluster secret: a file that all proxies of a cluster share */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/keyfile.h"

#define SECRET_MIN 16
#define SECRET_MAX 1024

/* Key material: wiped by secret_fini(), never printed. All zero: none. */
struct secret {
	size_t len;
	uint8_t bytes[SECRET_MAX];
};

/*
 * Reads a file of SECRET_MIN..SECRET_MAX bytes (one newline at the end does not count), which
 * keyfile_open() has to find good. 0, or -1 and *why says what is wrong.
 */
int secret_load(struct secret *s, const char *path, const struct keyfile_user *also,
    char why[KEYFILE_WHY]) __attribute__((warn_unused_result));
void secret_fini(struct secret *s);

#endif
