/* keyfiles.h: the files of secrets at the start, and what the user that smbgate becomes can read */
#ifndef DAEMON_KEYFILES_H
#define DAEMON_KEYFILES_H

#include <stdbool.h>

struct conf;
struct errlist;
struct secret;
struct tls;

/*
 * Reads the cluster secret, the passwords and certificates for Redis, and looks at the owner and
 * mode of the keytab. from is smbgate.conf as it was asked for; what is wrong goes to *e, with its
 * line. *tls stays as it is where there is to be none.
 */
void keyfiles_load(struct conf *conf, const char *from, struct secret *secret, struct tls **tls,
    struct errlist *e);

/*
 * Adds what is wrong with the keytab, though smbgate starts: the guard opens it again and again,
 * and it may come later. keys: look for a key in it that can be used, as -t alone does.
 */
void keyfiles_keytab(const struct conf *conf, bool keys, struct errlist *w);

/*
 * Called as the user that smbgate has become: adds the files that this user cannot read again, so
 * that it is not a later reload that fails.
 */
void keyfiles_warn(const struct conf *conf, struct tls *tls, struct errlist *w);

#endif
