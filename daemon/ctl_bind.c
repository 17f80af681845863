/* ctl_bind.c: the name of the control socket: made, or taken over from a dead process */
#include "config.h"

#include "daemon/ctl.h"

#include "base/log.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int
make_parent(const char *path, bool admits)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	memcpy(dir, path, strlen(path) + 1);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) == -1)
		return errno == EEXIST ? 0 : -1;
	/* A umask may have taken the way to the socket from its group. */
	return admits ? chmod(dir, 0755) : 0;
}

/* Removes a socket that nobody serves. -1: something else is there, the reason is logged. */
static int
clear_stale(const char *path, const struct sockaddr_un *sun, int type)
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
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

/* An owner may give a file to a group of their own: without CAP_CHOWN it is ours for a moment. */
static int
give_group(const char *path, gid_t gid)
{
	const gid_t own = getegid();
	int r = chown(path, (uid_t)-1, gid), err;

	if (r == 0 || errno != EPERM || setegid(gid) == -1)
		return r;
	r = chown(path, (uid_t)-1, gid);
	err = errno;
	if (setegid(own) == -1)
		return -1;
	errno = err;
	return r;
}

/*
 * Lets a group connect. It has the socket before it has the right: no other group ever does. 0, or
 * -1: the reason is logged.
 */
static int
admit_group(const char *path, const char *name)
{
	const struct group *gr;

	errno = 0;
	gr = getgrnam(name);
	if (gr != NULL && give_group(path, gr->gr_gid) == 0 && chmod(path, 0660) == 0)
		return 0;
	log_error("control-group \"%s\": %s", name,
	    gr == NULL && errno == 0 ? "no such group" : strerror(errno));
	return -1;
}

int
ctl_readmit(const char *path, const char *group)
{
	const struct group *gr = group == NULL ? NULL : getgrnam(group);
	struct stat st;

	/* Who may not change it need not, where it is right. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (group == NULL
	            ? (st.st_mode & 077) == 0
	            : gr != NULL && st.st_gid == gr->gr_gid && (st.st_mode & 0777) == 0660))
		return 0;
	if (group != NULL)
		return admit_group(path, group);
	if (chmod(path, 0600) == 0)
		return 0;
	log_error("control \"%s\": its group cannot be shut out: %s", path, strerror(errno));
	return -1;
}

/* The directory that the socket needs, or the one in which that would be made. */
static int
try_parent(const char *path, char *why)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)], *slash;
	struct stat st;

	snprintf(dir, sizeof(dir), "%s", path);
	for (int up = 0; up < 2; up++) {
		slash = strrchr(dir, '/');
		if (slash == NULL)
			return 0;
		*(slash == dir ? slash + 1 : slash) = '\0';
		if (stat(dir, &st) == 0) {
			if (S_ISDIR(st.st_mode) && access(dir, W_OK | X_OK) == 0)
				return 0;
			snprintf(why, CTL_WHY, "nothing can be made in %s: %s", dir,
			    strerror(S_ISDIR(st.st_mode) ? errno : ENOTDIR));
			return -1;
		}
	}
	snprintf(why, CTL_WHY, "there is no directory %s", dir);
	return -1;
}

int
ctl_try(const char *path, char *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, err;

	if (lstat(path, &st) == -1)
		return try_parent(path, why);
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, CTL_WHY, "it exists and is not a socket");
		return -1;
	}
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return try_parent(path, why);
	err = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0 ? 0 : errno;
	close(fd);
	return err == 0 || err == EAGAIN ? 1 : try_parent(path, why);
}

static int
bind_as(const char *path, const char *group, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (path[0] == '\0' || strlen(path) >= sizeof(sun.sun_path)) {
		log_error("control \"%s\": the path of a socket has 1 to %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (make_parent(path, group != NULL) == -1) {
		log_error("control \"%s\": cannot make its directory: %s", path, strerror(errno));
		return -1;
	}
	if (clear_stale(path, &sun, type) == -1)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Linux makes the name with the mode of the socket: it never has any other mode. */
	if (fd == -1 || fchmod(fd, 0600) == -1 ||
	    bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1 || listen(fd, 64) == -1) {
		log_error("control \"%s\": %s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (group != NULL && admit_group(path, group) == -1) {
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

int
ctl_bind(const char *path, const char *group)
{
	return bind_as(path, group, SOCK_STREAM);
}

int
ctl_successors_path(const char *control, char *path)
{
	if (snprintf(path, CTL_PATH_MAX, "%s.takeover", control) < CTL_PATH_MAX)
		return 0;
	log_error("control \"%s\": the path is too long", control);
	return -1;
}

int
ctl_bind_successors(const char *path)
{
	return bind_as(path, NULL, SOCK_SEQPACKET);
}
