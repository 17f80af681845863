/* heap.c: keeps the heap, where libkrb5 and OpenSSL have copies of keys, from being swapped out */
#include "config.h"

#include "keyd/heap.h"

#include "base/log.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* It grows in steps, so that what is allocated later is most often locked already. */
#define STEP (256 * 1024)

static char *
heap_start(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uintmax_t start = 0;
	char line[512];

	while (f != NULL && start == 0 && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, "[heap]") == NULL || sscanf(line, "%jx-", &start) != 1)
			start = 0;
	if (f != NULL)
		fclose(f);
	return (char *)(uintptr_t)start;
}

void
heap_init(struct heap *h)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit now = { 0, 0 };

	mallopt(M_TOP_PAD, STEP);
	mallopt(M_TRIM_THRESHOLD, 1024 * STEP);
	*h = (struct heap){ .start = heap_start() };
	/* With a limit, any allocation would fail some day. */
	h->all = setrlimit(RLIMIT_MEMLOCK, &all) == 0 && mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
	if (getrlimit(RLIMIT_MEMLOCK, &now) == 0)
		h->limit = now.rlim_cur;
}

void
heap_lock(struct heap *h, size_t reserve)
{
	size_t n = h->start == NULL ? 0 : (size_t)((char *)sbrk(0) - h->start);
	bool good = n > 0 && madvise(h->start, n, MADV_DONTDUMP) == 0 &&
	    (h->all || (n + reserve <= h->limit && mlock2(h->start, n, 0) == 0));

	if (good || h->all || h->warned)
		return;
	h->warned = true;
	log_warn("libkrb5's copies of keys may be swapped out: %zu KiB may be locked, %zu are "
	    "needed; see LimitMEMLOCK or ulimit -l", h->limit / 1024, (n + reserve + 1023) / 1024);
}
