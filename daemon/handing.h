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
	/* An operator has asked that one for something, in a request of the control socket. */
	void (*order)(void *arg, const char *request, size_t n);
	/* Nobody is left, or nobody is waited for any longer. */
	void (*left)(void *arg);
	void *arg;
};

/*
 * Waits for a successor at fd, which is taken over; on the main thread. Takes a copy of *env. NULL:
 * memory is out.
 */
struct handing *handing_new(const struct handing_env *env, int fd);
/*
 * smbgate ends: a takeover that is under way is over, and the other one does not serve; but where
 * it does by now, handed() is called.
 */
void handing_stop(struct handing *h);
/* Connections go to the other one, which does not serve yet. */
bool handing_gives(const struct handing *h);
/* The same, and it has been told all; what is ordered now it is not told. */
bool handing_told(const struct handing *h);
/* The process that this one has taken over from has ended: it is not waited for any longer. */
void handing_gone(struct handing *h);
/* Worker threads are gone by then. */
void handing_free(struct handing **h);

#endif
