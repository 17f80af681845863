/* listening.h: a listening socket, of the worker that accepts from it */
#ifndef DAEMON_LISTENING_H
#define DAEMON_LISTENING_H

#include <stddef.h>

struct listening {
	int fd;
	unsigned worker;
	size_t listener;		/* of conf's */
};

#endif
