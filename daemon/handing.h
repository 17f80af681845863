/* handing.h: a running smbgate hands all that it has over to another one, which goes on */
#ifndef DAEMON_HANDING_H
#define DAEMON_HANDING_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct ctl_env;
struct handing;
struct listening;

struct handing_env {
	const struct ctl_env *ctl;
	const struct conf *conf;
	/* What listens, and stays open as long as nothing is handed over. */
	const struct listening *listening;
	size_t nlistening;
	int control, http;	/* http: -1: there is none */
	/* Does smbgate leave its clients anyway? */
	bool (*leaving)(void *arg);
	/* Another one goes on: the control socket and the like are its own now. */
	void (*handed)(void *arg);
	/* Nobody is left, or nobody is waited for any longer. */
	void (*left)(void *arg);
	void *arg;
};

/*
 * Waits for a successor at fd, which is taken over; on the main thread. Takes a copy of *env. NULL:
 * memory is out.
 */
struct handing *handing_new(const struct handing_env *env, int fd);
/* Worker threads are gone by then. */
void handing_free(struct handing **h);

#endif
