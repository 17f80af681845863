/* capture.h: the bytes of connections, written to a file; and what is decided about them */
#ifndef CTL_CAPTURE_H
#define CTL_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* Of a file, if nothing is said. */
#define CAPTURE_SIZE 100000000

struct capture {
	const char *file;	/* "-": standard output */
	uint64_t size;		/* it ends when the file is that long, or a packet longer */
	bool force;		/* a file that is there is replaced */
	bool json;
};

/*
 * Sends the request over the control socket at path, and writes what comes, until the time is over,
 * the file is long enough, the connection has ended if it was one, or SIGINT comes. The exit
 * status.
 */
int capture_run(const char *path, const json_t *request, const struct capture *c);
/* Lines of text, or of JSON, to standard output. */
int trace_run(const char *path, const json_t *request, bool json);

#endif
