/* guard_keytab.c: the guard's one file: is it another one, and pass it to smbgate-keyd */
#include "config.h"

#include "daemon/guard_keytab.h"

#include "auth/keymsg.h"
#include "base/fdpass.h"
#include "base/keyfile.h"
#include "base/log.h"
#include "policy/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct keytab_stamp no_stamp = { .error = -1 };

void
guard_keytab_init(struct guard_keytab *k, const struct conf *conf)
{
	*k = (struct guard_keytab){ .from = conf->path, .line = conf->keytab_line,
		.path = conf->keytab, .passed = no_stamp };
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

static struct keytab_stamp
stamp_now(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return (struct keytab_stamp){ .error = errno };
	return stamp_of(&st);
}

bool
guard_keytab_changed(const struct guard_keytab *k)
{
	struct keytab_stamp now = stamp_now(k->path);

	return !same_stamp(&now, &k->passed);
}

static int
pass_reason(int to, char what, const char *path, const char *why)
{
	char packet[KEYD_PACKET_MAX] = { what };

	snprintf(packet + 1, sizeof(packet) - 1, "%s: %s", path, why);
	return fdpass_send(to, packet, 1 + strlen(packet + 1), -1, MSG_DONTWAIT);
}

void
guard_keytab_pass(struct guard_keytab *k, int to)
{
	const char file = KEYTAB_FILE;
	char why[KEYFILE_WHY];
	struct stat st;
	int fd, r;

	/* Before it is opened: a change that comes between is a change. */
	k->passed = stamp_now(k->path);
	fd = keyfile_open(k->path, NULL, why);
	k->readable = fd != -1;
	if (fd != -1) {
		if (fstat(fd, &st) == 0)
			k->passed = stamp_of(&st);
		r = fdpass_send(to, &file, 1, fd, MSG_DONTWAIT);
		close(fd);
	} else if (errno == EKEYREJECTED) {
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYTAB),
		    "%s:%d: keytab %s: %s", k->from, k->line, k->path, why);
		r = pass_reason(to, KEYTAB_REFUSED, k->path, why);
	} else {
		r = pass_reason(to, KEYTAB_ABSENT, k->path, why);
	}
	/* A state that no file has: it is passed again. */
	if (r == -1)
		k->passed = no_stamp;
}
