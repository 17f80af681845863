/* cpus.h: how many CPUs this process may use: affinity and the quota of its control group */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

/* At least 1; a quota of a part of a CPU counts as a whole one. */
unsigned cpus_allowed(void);

/*
 * The quota alone, in CPUs, rounded up; 0: there is none. proc is the text of /proc/self/cgroup,
 * mount the folder where control groups are mounted: version 2, or version 1's "cpu" controller.
 * The tightest quota on the way up to the mount counts.
 */
unsigned cpus_quota(const char *proc, const char *mount);

#endif
