/* guard_confine.h: what the guard and its stand-in cannot do, nor smbgate-keyd while it starts */
#ifndef DAEMON_GUARD_CONFINE_H
#define DAEMON_GUARD_CONFINE_H

/*
 * They keep the capabilities to open the keytab, and to start and stop smbgate-keyd (a program), as
 * another user; they can start no other program, write no file, and have no network. Logs what
 * cannot be had.
 */
void guard_confine(const char *program);

/* All three of them in a network namespace of their own, if one may be had. */
void guard_leave_network(void);

#endif
