/* census.h: the clients of all workers, put together apart from the thread that asks */
#ifndef DAEMON_CENSUS_H
#define DAEMON_CENSUS_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/clients.h"

struct census;
struct connlist;
struct scribe;
struct sesstab;
struct who;

/* All is borrowed; scribe NULL, or without a thread: whoever asks waits for it after all. */
struct census_env {
	struct connlist *connlist;
	struct scribe *scribe;
	struct sesstab *sessions;
};

/* As of clients.h. */
struct census_found {
	struct clients clients;		/* their users are named, if that was wanted */
	size_t nconns;			/* connections, those without a client among them */
	size_t nmeant;			/* clients that `who` means */
};

/* Everything is lent; NULL: memory was out, or smbgate ends. */
typedef void (*census_f)(void *arg, const struct census_found *found);

/*
 * The workers list their connections, and the scribe puts them together; done(arg, ...) comes on
 * the loop of both, and the census is gone then. who is copied; NULL: nobody is meant. NULL, with a
 * static text: nothing was asked.
 */
struct census *census_ask(const struct census_env *env, bool users, const struct who *who,
    census_f done, void *arg, const char **why_r) __attribute__((warn_unused_result));
/* done will not be called. Clears the caller's pointer. */
void census_forget(struct census **c);

#endif
