/* writer.c: in a kernel.Machine: writes numbered blocks into one open file, as long as it may */
/*
 * writer FILE MILLISECONDS: with a pause behind each block, until there is a file
 * /run/stop-$ID. A block that it says ACK of has been synced. After an error the same block is
 * written again, in a file opened anew.
 *
 *	ACK number uptime stall		in ms; stall: since the ACK before
 *	ERR number uptime reason
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 8

static long
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

/* fd -1: it is opened; -1 with errno. */
static int
write_block(const char *file, int *fd, long n)
{
	char block[24];

	if (*fd == -1 && (*fd = open(file, O_RDWR | O_CREAT, 0644)) == -1)
		return -1;
	snprintf(block, sizeof(block), "%07ld\n", n);
	if (pwrite(*fd, block, BLOCK, n * BLOCK) != BLOCK)
		return -1;
	return fsync(*fd);
}

int
main(int argc, char **argv)
{
	char stop[64];
	const char *file = argv[1];
	const char *id = getenv("ID");
	long pause, last, at;
	int fd = -1;

	if (argc < 3)
		return 2;
	pause = atol(argv[2]);
	snprintf(stop, sizeof(stop), "/run/stop-%s", id == NULL ? "" : id);
	setvbuf(stdout, NULL, _IOLBF, 0);
	last = now_ms();
	for (long n = 0; access(stop, F_OK) != 0;) {
		if (write_block(file, &fd, n) == 0) {
			at = now_ms();
			printf("ACK %ld %ld %ld\n", n++, at, at - last);
			last = at;
		} else {
			printf("ERR %ld %ld %s\n", n, now_ms(), strerror(errno));
			if (fd != -1)
				close(fd);
			fd = -1;
		}
		usleep((useconds_t)pause * 1000);
	}
	return 0;
}
