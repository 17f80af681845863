/* secret.c: the cluster secret: a file that all proxies of a cluster share */
#include "config.h"

#include "auth/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

static int
secret_read(struct secret *s, int fd, const char **why_r)
{
	uint8_t bytes[SECRET_MAX + 2];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		*why_r = "not a regular file";
		return -1;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		*why_r = "others can read or write it: chmod 600";
		return -1;
	}
	n = read(fd, bytes, sizeof(bytes));
	if (n > 0 && bytes[n - 1] == '\n')
		n--;
	if (n < SECRET_MIN || n > SECRET_MAX) {
		*why_r = n < 0 ? strerror(errno) : "must have 16 to 1024 bytes";
		OPENSSL_cleanse(bytes, sizeof(bytes));
		return -1;
	}
	memcpy(s->bytes, bytes, (size_t)n);
	s->len = (size_t)n;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
}

int
secret_load(struct secret *s, const char *path, const char **why_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

	s->len = 0;
	if (fd == -1) {
		*why_r = strerror(errno);
		return -1;
	}
	r = secret_read(s, fd, why_r);
	close(fd);
	return r;
}

void
secret_fini(struct secret *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
}
