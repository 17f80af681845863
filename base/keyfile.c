/* keyfile.c: opens a file of secrets, if nobody but us can have read or written it */
#include "config.h"

#include "base/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 16
/* Of a directory that is not as it should be. */
#define NAME_SHOWN 80

/* One way from the root to a file, a name at a time: what was checked is what is opened. */
struct keyfile_walk {
	const struct keyfile_user *also;
	char *why;
	const char *path;		/* as it was asked for */
	int dir;			/* where the walk is */
	unsigned links;
	char at[PATH_MAX];		/* its name, and that of what is looked at */
	char rest[PATH_MAX];		/* names that are still to be gone through */
};

static bool
is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool
is_own_group(const struct keyfile_walk *w, gid_t gid)
{
	return gid == getegid() || group_member(gid) != 0 ||
	    (w->also != NULL && gid == w->also->gid);
}

static int
walk_failed(struct keyfile_walk *w, int err)
{
	snprintf(w->why, KEYFILE_WHY, "%s", strerror(err));
	errno = err;
	return -1;
}

static int
walk_refuse(struct keyfile_walk *w, const struct stat *st, const char *right)
{
	size_t len = strlen(w->at);
	/* The end of a long name tells more. */
	const char *what = strcmp(w->at, w->path) == 0 ? "it"
	    : len > NAME_SHOWN ? w->at + len - NAME_SHOWN : w->at;

	snprintf(w->why, KEYFILE_WHY, "%.*s has owner %u, group %u, mode %04o: right would be %s",
	    NAME_SHOWN, what, (unsigned)st->st_uid, (unsigned)st->st_gid,
	    (unsigned)st->st_mode & 07777, right);
	errno = EKEYREJECTED;
	return -1;
}

static int
check_directory(struct keyfile_walk *w, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return walk_failed(w, errno);
	if (!is_ours(st.st_uid))
		return walk_refuse(w, &st, "owner 0 (root)");
	/* Under the sticky bit nobody else replaces what is ours, and that is looked at next. */
	if ((st.st_mode & S_ISVTX) == 0 && ((st.st_mode & S_IWOTH) != 0 ||
	    ((st.st_mode & S_IWGRP) != 0 && st.st_gid != 0)))
		return walk_refuse(w, &st, "no write access for others: chmod go-w");
	return 0;
}

/* The descriptor of the file that w->dir has by that name. */
static int
open_file(struct keyfile_walk *w, const char *name)
{
	int fd = openat(w->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r = 0;

	if (fd == -1 || fstat(fd, &st) == -1) {
		r = walk_failed(w, errno);
	} else if (!is_ours(st.st_uid) && (w->also == NULL || st.st_uid != w->also->uid)) {
		r = walk_refuse(w, &st, "owner 0 (root), mode 0600");
	} else if ((st.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP)) != 0 ||
	    ((st.st_mode & S_IRGRP) != 0 && !is_own_group(w, st.st_gid))) {
		r = walk_refuse(w, &st, "mode 0600, or 0640 with a group that smbgate is in");
	}
	if (r == -1 && fd != -1) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return r == -1 ? -1 : fd;
}

/* The name of a link is replaced by what the link says. */
static int
follow_link(struct keyfile_walk *w, int link, const struct stat *st)
{
	char to[PATH_MAX], rest[PATH_MAX];
	ssize_t n;

	if (!is_ours(st->st_uid))
		return walk_refuse(w, st, "a link of user 0 (root)");
	if (++w->links > LINKS_MAX)
		return walk_failed(w, ELOOP);
	n = readlinkat(link, "", to, sizeof(to));
	if (n <= 0)
		return walk_failed(w, n == 0 ? ENOENT : errno);
	memcpy(rest, w->rest, sizeof(rest));
	if (snprintf(w->rest, sizeof(w->rest), "%.*s/%s", (int)n, to, rest) >= PATH_MAX)
		return walk_failed(w, ENAMETOOLONG);
	/* No name behind it: the link was the last one. */
	if (rest[0] == '\0')
		w->rest[n] = '\0';
	if (to[0] != '/')
		return 0;
	close(w->dir);
	w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->dir == -1 ? walk_failed(w, errno) : 0;
}

/* The next name, out of rest. False: there is none. */
static bool
next_name(struct keyfile_walk *w, char name[NAME_MAX + 1])
{
	size_t skip = strspn(w->rest, "/"), n = strcspn(w->rest + skip, "/"), at;

	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(name, w->rest + skip, n);
	name[n] = '\0';
	memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
	at = strlen(w->at);
	snprintf(w->at + at, sizeof(w->at) - at, "%s%s", at > 0 && w->at[at - 1] == '/' ? "" : "/",
	    name);
	return true;
}

/* One name further. 1: *fd_r is the file's. 0: not there yet. */
static int
walk_step(struct keyfile_walk *w, int *fd_r)
{
	char name[NAME_MAX + 1];
	size_t len = strlen(w->at);
	struct stat st;
	int fd, r = 0;

	if (!next_name(w, name))
		return walk_failed(w, EISDIR);
	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		r = walk_failed(w, errno);
	} else if (S_ISLNK(st.st_mode)) {
		r = follow_link(w, fd, &st);
		w->at[w->rest[0] == '/' ? 0 : len] = '\0';
	} else if (S_ISDIR(st.st_mode) && w->rest[0] != '\0') {
		r = check_directory(w, fd);
		close(w->dir);
		w->dir = fd;
		return r;
	} else if (!S_ISREG(st.st_mode) || w->rest[0] != '\0') {
		snprintf(w->why, KEYFILE_WHY, "not a regular file");
		errno = EINVAL;
		r = -1;
	} else {
		*fd_r = open_file(w, name);
		r = *fd_r == -1 ? -1 : 1;
	}
	if (fd != -1) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return r;
}

int
keyfile_open(const char *path, const struct keyfile_user *also, char why[KEYFILE_WHY])
{
	struct keyfile_walk w = { .also = also, .why = why, .path = path };
	int fd = -1, r, saved;

	if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= PATH_MAX)
		return walk_failed(&w, ENAMETOOLONG);
	snprintf(w.at, sizeof(w.at), "%s", path[0] == '/' ? "/" : ".");
	w.dir = open(w.at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w.dir == -1)
		return walk_failed(&w, errno);
	r = check_directory(&w, w.dir);
	while (r == 0)
		r = walk_step(&w, &fd);
	saved = errno;
	if (w.dir != -1)
		close(w.dir);
	errno = saved;
	return r == 1 ? fd : -1;
}

int
keyfile_line(const char *path, const struct keyfile_user *also, char *dst, size_t cap,
    char why[KEYFILE_WHY])
{
	int fd = keyfile_open(path, also, why);
	ssize_t n;

	if (fd == -1)
		return -1;
	n = read(fd, dst, cap - 1);
	if (n == -1)
		snprintf(why, KEYFILE_WHY, "%s", strerror(errno));
	close(fd);
	dst[n > 0 ? n : 0] = '\0';
	dst[strcspn(dst, "\r\n")] = '\0';
	if (n >= 0 && dst[0] == '\0')
		snprintf(why, KEYFILE_WHY, "the first line is empty");
	return dst[0] == '\0' ? -1 : 0;
}
