/* ctl_bind.c: the name of the control socket: made, or taken over from a dead process */
#include "config.h"

#include "daemon/ctl.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int
make_parent(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	memcpy(dir, path, strlen(path) + 1);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	return mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

/* Removes a socket that nobody serves. -1: something else is there, the reason is logged. */
static int
clear_stale(const char *path, const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, err;

	if (lstat(path, &st) == -1) {
		if (errno == ENOENT)
			return 0;
		log_error("control \"%s\": %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_error("control \"%s\": exists and is not a socket", path);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1) {
		log_error("control \"%s\": %s", path, strerror(errno));
		return -1;
	}
	err = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ? 0 : errno;
	close(fd);
	/* EAGAIN: its queue is full, so somebody serves it. */
	if (err == 0 || err == EAGAIN) {
		log_error("control \"%s\": another process answers there", path);
		return -1;
	}
	if (err != ECONNREFUSED || (unlink(path) == -1 && errno != ENOENT)) {
		log_error("control \"%s\": cannot replace it: %s", path,
		    strerror(err != ECONNREFUSED ? err : errno));
		return -1;
	}
	return 0;
}

int
ctl_bind(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (path[0] == '\0' || strlen(path) >= sizeof(sun.sun_path)) {
		log_error("control \"%s\": the path of a socket has 1 to %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (make_parent(path) == -1) {
		log_error("control \"%s\": cannot make its directory: %s", path, strerror(errno));
		return -1;
	}
	if (clear_stale(path, &sun) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Linux makes the name with the mode of the socket: it never has any other mode. */
	if (fd == -1 || fchmod(fd, 0600) == -1 ||
	    bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1 || listen(fd, 64) == -1) {
		log_error("control \"%s\": %s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	return fd;
}
