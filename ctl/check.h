/* check.h: is this machine what smbgate needs around it? rules, routes, and who answers */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include <jansson.h>

struct check;

/*
 * Adds what is found to *c. answer: that to "show policy", of the smbgate on this machine. client:
 * an address from which intercepted clients come, or NULL.
 */
void check_machine(struct check *c, const json_t *answer, const char *client);

#endif
