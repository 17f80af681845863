/* guard_main.h: the guard's own process: runs smbgate-keyd, and passes it the keytab */
#ifndef DAEMON_GUARD_MAIN_H
#define DAEMON_GUARD_MAIN_H

struct guard_start;

/* In the child of a fork. Ends when smbgate does. */
void guard_main(const struct guard_start *s) __attribute__((noreturn));

#endif
