/* guard_keytab.h: the guard's one file: is it another one, and pass it to smbgate-keyd */
#ifndef DAEMON_GUARD_KEYTAB_H
#define DAEMON_GUARD_KEYTAB_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct conf;

/* What tells one state of the file from the next. */
struct keytab_stamp {
	int error;			/* errno of stat(); -1: no state at all */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct guard_keytab {
	const char *from;		/* where it is named, and the line */
	int line;
	const char *path;
	struct keytab_stamp passed;	/* the state that was passed last */
	bool readable;			/* it could be opened then */
};

/* conf is borrowed for good. */
void guard_keytab_init(struct guard_keytab *k, const struct conf *conf);

/* Is the file another one than the last that was passed? */
bool guard_keytab_changed(const struct guard_keytab *k);

/* Passes its descriptor over the socket to, or the reason why there is none. */
void guard_keytab_pass(struct guard_keytab *k, int to);

#endif
