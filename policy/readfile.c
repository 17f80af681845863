/* readfile.c: a whole file in memory */
#include "config.h"

#include "policy/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
slurp(int fd, size_t max, const char **why_r)
{
	struct stat st;
	size_t n = 0, size;
	ssize_t r = 0;
	char *text;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		*why_r = "not a regular file";
		return NULL;
	}
	size = (size_t)st.st_size;
	if (size > max) {
		*why_r = "the file is too large";
		return NULL;
	}
	text = malloc(size + 1);
	if (text == NULL) {
		*why_r = "out of memory";
		return NULL;
	}
	/* One byte more than there should be shows a file that grows. */
	while (n <= size && (r = read(fd, text + n, size + 1 - n)) > 0)
		n += (size_t)r;
	if (r == -1)
		*why_r = strerror(errno);
	else if (n != size)
		*why_r = "the file changed while it was read";
	else if (n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		*why_r = "the file is UTF-16: save it as UTF-8";
	else if (memchr(text, '\0', n) != NULL)
		*why_r = "the file contains a zero byte";
	else {
		text[n] = '\0';
		if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
			memmove(text, text + 3, n - 2);
		return text;
	}
	free(text);
	return NULL;
}

char *
readfile(const char *path, size_t max, const char **why_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text;

	if (fd == -1) {
		*why_r = strerror(errno);
		return NULL;
	}
	text = slurp(fd, max, why_r);
	close(fd);
	return text;
}

int
readfile_lone_cr(const char *text)
{
	int line = 1;

	for (const char *s = text; *s != '\0'; s++) {
		if (s[0] == '\r' && s[1] != '\n' && s[1] != '\0')
			return line;
		line += *s == '\n';
	}
	return 0;
}
