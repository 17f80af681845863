/* cpus.c: how many CPUs this process may use: affinity and the quota of its control group */
#include "config.h"

#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* cpu.max says "QUOTA PERIOD", in microseconds, or "max PERIOD". 0: no quota. */
static unsigned
quota_of(const char *dir)
{
	char path[PATH_MAX];
	long long quota = -1, period = 0;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/cpu.max", dir) < (int)sizeof(path) &&
	    (f = fopen(path, "re")) != NULL) {
		if (fscanf(f, "%lld %lld", &quota, &period) != 2)
			quota = -1;
		fclose(f);
	} else if (snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir) < (int)sizeof(path) &&
	    (f = fopen(path, "re")) != NULL) {
		if (fscanf(f, "%lld", &quota) != 1)
			quota = -1;
		fclose(f);
		if (snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir) < (int)sizeof(path) &&
		    (f = fopen(path, "re")) != NULL) {
			if (fscanf(f, "%lld", &period) != 1)
				period = 0;
			fclose(f);
		}
	}
	if (quota <= 0 || period <= 0 || quota / period >= UINT_MAX)
		return 0;
	return (unsigned)((quota + period - 1) / period);
}

/* "0::/a/b" of version 2, "4:cpu,cpuacct:/a/b" of version 1. */
static bool
is_cpu_line(const char *line, const char **group)
{
	const char *controllers = strchr(line, ':');
	const char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	size_t n;

	if (path == NULL)
		return false;
	*group = path + 1;
	controllers++;
	n = (size_t)(path - controllers);
	if (n == 0)
		return true;
	for (const char *c = controllers; c < path; c += strcspn(c, ",:") + 1)
		if (strcspn(c, ",:") == 3 && strncmp(c, "cpu", 3) == 0)
			return true;
	return false;
}

/* The tightest quota of a group and those above it. */
static unsigned
tightest(const char *mount, const char *group, size_t len)
{
	char dir[PATH_MAX];
	unsigned least = 0, q;
	size_t top = strlen(mount);
	int n = snprintf(dir, sizeof(dir), "%s%.*s", mount, (int)len, group);

	if (n < 0 || (size_t)n >= sizeof(dir))
		return 0;
	for (;;) {
		q = quota_of(dir);
		if (q != 0 && (least == 0 || q < least))
			least = q;
		if (strlen(dir) <= top)
			return least;
		*strrchr(dir, '/') = '\0';
	}
}

unsigned
cpus_quota(const char *proc, const char *mount)
{
	char v1[PATH_MAX];
	unsigned least = 0, q;
	const char *group;

	if (snprintf(v1, sizeof(v1), "%s/cpu", mount) >= (int)sizeof(v1))
		return 0;
	for (const char *line = proc; *line != '\0'; line += strcspn(line, "\n"),
	    line += *line == '\n') {
		if (!is_cpu_line(line, &group))
			continue;
		q = tightest(strncmp(line, "0::", 3) == 0 ? mount : v1, group,
		    strcspn(group, "\n"));
		if (q != 0 && (least == 0 || q < least))
			least = q;
	}
	return least;
}

unsigned
cpus_allowed(void)
{
	char text[8192];
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = online < 1 ? 1 : (unsigned)online, quota;
	cpu_set_t set;
	size_t len;
	FILE *f;

	/* Fails on machines with more CPUs than a cpu_set_t has: then what is online counts. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		n = (unsigned)CPU_COUNT(&set);
	f = fopen("/proc/self/cgroup", "re");
	if (f == NULL)
		return n;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	quota = cpus_quota(text, "/sys/fs/cgroup");
	return quota != 0 && quota < n ? quota : n;
}
