/* process.c: what the process itself uses, asked for where /proc is out of reach */
#include "config.h"

#include "daemon/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Descriptors counted at a time: about a millisecond. */
#define STEP 1024

static double
seconds(clockid_t clock)
{
	struct timespec ts = { 0, 0 };

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void
process_memory(void)
{
	/* Else it grows to twice the largest block that was ever freed, and malloc_trim(3) does not
	 * reach what is free at the end of a thread's arena. */
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	/* Workers call it. Where a sanitizer has replaced malloc, whoever does so first makes the C
	 * library's own, and two at once make it twice: it dies with the second of them. */
	malloc_trim(0);
}

void
process_open(struct process *p)
{
	*p = (struct process){
		.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
		.fds = opendir("/proc/self/fd"),
		.open_fds = -1,
		.start_time = seconds(CLOCK_REALTIME),
	};
	if (gethostname(p->host, sizeof(p->host) - 1) == -1)
		p->host[0] = '\0';
}

void
process_close(struct process *p)
{
	if (p->statm != -1)
		close(p->statm);
	if (p->fds != NULL)
		closedir(p->fds);
	p->statm = -1;
	p->fds = NULL;
}

/* Since Linux 6.2 the folder's size is how many there are. */
static int64_t
kernel_counts(const struct process *p)
{
	struct stat st;

	return p->fds != NULL && fstat(dirfd(p->fds), &st) == 0 ? st.st_size : 0;
}

void
process_step(struct process *p)
{
	const struct dirent *e = NULL;

	if (p->fds == NULL || kernel_counts(p) > 0)
		return;
	for (int i = 0; i < STEP && (e = readdir(p->fds)) != NULL; i++)
		p->counted += e->d_name[0] != '.';
	if (e != NULL)
		return;
	p->open_fds = p->counted;
	p->counted = 0;
	rewinddir(p->fds);
}

static int64_t
resident(const struct process *p)
{
	char text[128];
	uint64_t pages;
	ssize_t n;

	if (p->statm == -1 || lseek(p->statm, 0, SEEK_SET) == -1)
		return -1;
	n = read(p->statm, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	return sscanf(text, "%*u %" SCNu64, &pages) == 1 ? (int64_t)pages * sysconf(_SC_PAGESIZE)
	                                                 : -1;
}

void
process_now(const struct process *p, struct process_use *now)
{
	struct rlimit rl;
	int64_t counts = kernel_counts(p);

	*now = (struct process_use){
		.start_time = p->start_time,
		.cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID),
		.rss = resident(p),
		.open_fds = counts > 0 ? counts : p->open_fds,
		.max_fds = getrlimit(RLIMIT_NOFILE, &rl) == -1 ? -1 : (int64_t)rl.rlim_cur,
	};
}
