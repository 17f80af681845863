/* setup.h: is the set-up right? What smbgate.conf and policy.conf need of others, and of here */
#ifndef CTL_SETUP_H
#define CTL_SETUP_H

#include <stddef.h>

struct check;

struct setup_ask {
	const char *conf;		/* smbgate.conf */
	const char *socket;		/* of a smbgate that runs, NULL: none does */
	const char *const *names;	/* of the server, as clients call it */
	size_t nnames;
	const char *kdc;		/* NULL: those that this machine knows */
};

/* Adds what is found to *c. -1: the files have errors, which are on stderr. */
int setup_check(struct check *c, const struct setup_ask *a) __attribute__((warn_unused_result));

#endif
