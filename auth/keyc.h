/* keyc.h: a worker's connection to smbgate-keyd: attached, written to, read from, lost */
#ifndef AUTH_KEYC_H
#define AUTH_KEYC_H

struct event_base;
struct keyc;
struct keywatch;

/* One a worker; runs on its loop. watch is all workers', and borrowed. NULL when memory is out. */
struct keyc *keyc_new(struct event_base *base, struct keywatch *watch);
/* Every exchange must be gone. */
void keyc_free(struct keyc **c);

/*
 * smbgate-keyd has been started; fd is the connection to it and taken over. What the one before it
 * had not answered has failed.
 */
void keyc_attach(struct keyc *c, int fd);

#endif
