/* takeover.h: smbgate --takeover: goes on with all that a running smbgate has */
#ifndef DAEMON_TAKEOVER_H
#define DAEMON_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "daemon/takemsg.h"

struct ctl_env;
struct takeover;

/*
 * Asks the smbgate that listens at path for what it has; nworkers, places: our own, and how many
 * clients there are descriptors for. NULL: the reason is logged, and the other one serves on. While
 * it may still change users.
 */
struct takeover *takeover_begin(const char *path, unsigned nworkers, unsigned places);
/*
 * A socket that listens, taken over by the caller; name, address: of a listener, and address of
 * HTTP, else NULL. -1: there is none, or none any more.
 */
int takeover_socket(struct takeover *t, enum take_what what, const char *name,
    const struct addrport *address);

struct takeover_env {
	const struct ctl_env *ctl;
	/*
	 * Good: the other one serves no longer, or has died. Otherwise it does, and smbgate is to
	 * end. reloaded: its policy is newer than what is in force here.
	 */
	void (*done)(void *arg, bool good, bool reloaded);
	/* The same, but it had reloaded at the last moment. */
	void (*reloaded)(void *arg);
	/* The other one has ended. */
	void (*gone)(void *arg);
	void *arg;
};

/* Everything is up, and accepts nobody: connections come from now on. -1: out of memory. */
int takeover_go(struct takeover *t, const struct takeover_env *env)
    __attribute__((warn_unused_result));

/* What the other one still has. False: nothing, it has ended. */
struct takeover_rest {
	uint32_t pid;
	uint64_t connections;
	uint64_t until_ms;
	char why[TAKE_TEXT];
};
bool takeover_rest(const struct takeover *t, struct takeover_rest *rest);

/*
 * What an operator has asked for, a request of the control socket, is carried out there, too, and
 * by whoever that has taken over from. t may be NULL. False: nobody is there to be told, or they do
 * not read it: whoever serves does not wait for them.
 */
bool takeover_order(struct takeover *t, const char *request, size_t n);

void takeover_free(struct takeover **t);

#endif
