/* guard_keytab.c: the guard's one file: is it another one, and pass it to smbgate-keyd */
#include "config.h"

#include "daemon/guard_keytab.h"

#include "auth/keymsg.h"
#include "base/fdpass.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer paths are cut. */
#define REASON_MAX 256

static const struct keytab_stamp no_stamp = { .error = -1 };

void
guard_keytab_init(struct guard_keytab *k, const char *path)
{
	*k = (struct guard_keytab){ .path = path, .passed = no_stamp };
}

static struct keytab_stamp
stamp_of(const struct stat *st)
{
	return (struct keytab_stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static bool
same_stamp(const struct keytab_stamp *a, const struct keytab_stamp *b)
{
	return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	    a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

bool
guard_keytab_changed(const struct guard_keytab *k)
{
	struct keytab_stamp now;
	struct stat st;

	if (stat(k->path, &st) == -1)
		now = (struct keytab_stamp){ .error = errno };
	else
		now = stamp_of(&st);
	return !same_stamp(&now, &k->passed);
}

static int
pass_reason(int to, const char *path, const char *why)
{
	char packet[REASON_MAX] = { KEYTAB_ABSENT };

	snprintf(packet + 1, sizeof(packet) - 1, "%s: %s", path, why);
	return fdpass_send(to, packet, 1 + strlen(packet + 1), -1, MSG_DONTWAIT);
}

void
guard_keytab_pass(struct guard_keytab *k, int to)
{
	int fd = open(k->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), r;
	struct stat st = { .st_mode = 0 };

	if (fd == -1) {
		k->passed = (struct keytab_stamp){ .error = errno };
		r = pass_reason(to, k->path, strerror(errno));
	} else if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		k->passed = stamp_of(&st);
		r = pass_reason(to, k->path, "not a regular file");
	} else {
		const char what = KEYTAB_FILE;

		if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
			log_warn("keytab %s: users other than its owner have access: chmod 600",
			    k->path);
		k->passed = stamp_of(&st);
		r = fdpass_send(to, &what, 1, fd, MSG_DONTWAIT);
	}
	/* A state that no file has: it is passed again. */
	if (r == -1)
		k->passed = no_stamp;
	if (fd != -1)
		close(fd);
}
