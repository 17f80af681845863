/* confine.h: what smbgate itself can no longer do once it serves */
#ifndef DAEMON_CONFINE_H
#define DAEMON_CONFINE_H

struct conf;
struct policy;
struct secret;

/*
 * Before the first thread: files are read below the directories of the configuration alone, and
 * nothing is written but /dev/null and what is open; the pid file and the control socket can still
 * be removed. Says so, or why not: a kernel without Landlock is no error.
 */
void confine_files(const struct conf *conf, const struct policy *policy);

/*
 * Before anything is started: all memory is locked, as it comes to be used, if there are keys to be
 * kept from being swapped out, and if there is no limit to that. Warns where there is.
 */
void confine_memory(const struct conf *conf, const struct secret *secret);

/* When all threads run: no system calls but those of the service. Logs where that cannot be had. */
void confine_calls(void);

#endif
