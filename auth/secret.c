/* secret.c: the cluster secret: a file that all proxies of a cluster share */
#include "config.h"

#include "auth/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

int
secret_load(struct secret *s, const char *path, const struct keyfile_user *also,
    char why[KEYFILE_WHY])
{
	int fd = keyfile_open(path, also, why);
	uint8_t bytes[SECRET_MAX + 2];
	ssize_t n;

	s->len = 0;
	if (fd == -1)
		return -1;
	n = read(fd, bytes, sizeof(bytes));
	if (n > 0 && bytes[n - 1] == '\n')
		n--;
	if (n < 0) {
		snprintf(why, KEYFILE_WHY, "%s", strerror(errno));
	} else if (n < SECRET_MIN || n > SECRET_MAX) {
		snprintf(why, KEYFILE_WHY, "must have 16 to 1024 bytes");
	} else {
		memcpy(s->bytes, bytes, (size_t)n);
		s->len = (size_t)n;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	close(fd);
	return s->len == 0 ? -1 : 0;
}

void
secret_fini(struct secret *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
}
