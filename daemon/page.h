/* page.h: pure: what is seen of smbgate, as one page for people */
#ifndef DAEMON_PAGE_H
#define DAEMON_PAGE_H

#include <stdio.h>

struct facts;
struct history;

#define PAGE_NONCE 33			/* with its NUL */
#define PAGE_REFRESH_S 5

/*
 * HTML that needs neither scripts nor anything from elsewhere, and asks for itself again. Whatever
 * others have said, names of users for one, is escaped. nonce: of the policy that it is sent with.
 */
void page_print(const struct facts *f, const struct history *h, const char *nonce, FILE *out);

#endif
