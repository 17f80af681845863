/* passed.h: listening sockets that the service manager has opened, by the names of listeners */
#ifndef DAEMON_PASSED_H
#define DAEMON_PASSED_H

#include <stdbool.h>
#include <stddef.h>

struct conf_listen;
struct errlist;

/* Room for what is wrong with them. */
#define PASSED_WHY 256
#define PASSED_NAME 256

struct passed_socket {
	int fd;
	bool taken;
	char name[PASSED_NAME];
};

/* All zero: none. */
struct passed {
	size_t n;
	struct passed_socket *sockets;
};

/* LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, as systemd sets them; NULL: not there. */
struct passed_words {
	const char *pid, *fds, *names;
};

/*
 * Pure. Sockets for another process than self are none of ours. 0, or -1: *why says what is wrong,
 * and there are none.
 */
int passed_parse(struct passed *p, const struct passed_words *w, long self, char why[PASSED_WHY])
    __attribute__((warn_unused_result));

/*
 * Those that the environment names, which forgets them: no program that is started takes them for
 * its own. Before any fork(). As passed_parse().
 */
int passed_take(struct passed *p, char why[PASSED_WHY]) __attribute__((warn_unused_result));

/*
 * The sockets of that name, one for each of n workers, in fds, which are the caller's: where there
 * are fewer, workers share them. both: "::" takes IPv4 as well. 1; 0: there is none; -1: *why.
 */
int passed_listener(struct passed *p, const struct conf_listen *l, bool both, int *fds, unsigned n,
    char why[PASSED_WHY]) __attribute__((warn_unused_result));

/* Closes those that are no listener's, and calls unused() with the name of each. */
void passed_close(struct passed *p, void (*unused)(void *arg, const char *name), void *arg);

#endif
