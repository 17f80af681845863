/* guard_start.h: what smbgate starts its guard with, and the packets between them */
#ifndef DAEMON_GUARD_START_H
#define DAEMON_GUARD_START_H

#include <stdbool.h>

struct conf;
struct secret;

/* Packets between smbgate and its guard: the first byte. */
#define GUARD_WORKER 'W'	/* from the guard: a worker's index, its socket comes with it */
#define GUARD_SERVES 'S'	/* from the guard: the first smbgate-keyd is there */
#define GUARD_UNFIT 'U'		/* from the guard: it cannot be; a text follows */
#define GUARD_RELOAD 'H'	/* to the guard */
#define GUARD_PACKET_MAX 256

struct guard_start {
	const struct conf *conf;
	struct secret *secret;		/* wiped: the guard must not have it */
	const char *program;		/* smbgate-keyd */
	unsigned nworkers;
	bool syslog, verbose;
	int fd;				/* the guard's end of its socket to smbgate */
};

#endif
