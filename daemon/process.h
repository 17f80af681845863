/* process.h: what the process itself uses, asked for where /proc is out of reach */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <dirent.h>
#include <stdint.h>

/* Opened while that is allowed: see daemon/confine.h. */
struct process {
	int statm;		/* -1: it could not be opened */
	DIR *fds;		/* NULL: the same */
	int64_t counted;	/* of a walk through fds that is not over */
	int64_t open_fds;	/* of the last one that is; -1: there was none */
	double start_time;	/* seconds of the epoch */
	char host[65];		/* "": not known */
};

/*
 * Before any thread begins: what a burst, a drain or a long answer needed goes back to the system
 * when it is freed.
 */
void process_memory(void);

void process_open(struct process *p);
void process_close(struct process *p);

/*
 * Once a second. Older kernels do not say how many descriptors are open: they are counted, some at
 * a time.
 */
void process_step(struct process *p);

/* What could not be learnt is negative. */
struct process_use {
	double start_time, cpu_s;	/* of the epoch, and used */
	int64_t rss, open_fds, max_fds;
};

void process_now(const struct process *p, struct process_use *now);

#endif
