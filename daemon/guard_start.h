/* guard_start.h: what smbgate starts its guard with, and the packets between them */
#ifndef DAEMON_GUARD_START_H
#define DAEMON_GUARD_START_H

#include <stdbool.h>

struct conf;
struct secret;

/* Packets between smbgate and its guard: the first byte. */
#define GUARD_WORKER 'W'	/* from the guard: a worker's index, its socket comes with it */
#define GUARD_SERVES 'S'	/* from the guard: smbgate-keyd is there, and answers */
#define GUARD_SILENT 'Q'	/* from the guard: it does not answer */
#define GUARD_DIED 'D'		/* from the guard: it is dead, and will be started again */
#define GUARD_AGAIN 'A'		/* from the guard: I am another one, the last one is dead */
#define GUARD_COUNTS 'N'	/* from the guard: smbgate-keyd's counters, as KEYD_PONG has them */
#define GUARD_KEYTAB 'K'	/* from the guard: the keytab can be read */
#define GUARD_NO_KEYTAB 'k'	/* from the guard: it cannot */
#define GUARD_UNFIT 'U'		/* from the guard: it cannot be; a text follows */
#define GUARD_RELOAD 'H'	/* to the guard */
#define GUARD_LEVEL 'L'		/* to the guard: an enum log_level (1 byte), its own and keyd's */
#define GUARD_PACKET_MAX 256

/* The guard's own end of that socket, once it is a process. */
#define GUARD_MAIN_FD 3

struct guard_start {
	const struct conf *conf;
	struct secret *secret;		/* wiped: the guard must not have it */
	const char *program;		/* smbgate-keyd */
	unsigned nworkers;
	bool syslog;
	int fd;				/* the guard's end of its socket to smbgate */
};

#endif
