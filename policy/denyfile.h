/* denyfile.h: addresses out of a CTDB public_addresses file */
#ifndef POLICY_DENYFILE_H
#define POLICY_DENYFILE_H

struct acl;
struct errlist;

/*
 * "ADDRESS/MASK INTERFACE[,INTERFACE...]" a line, '#' comments, ctdb(7): every address becomes a
 * deny rule for itself alone, which stands on that line of file 0. The mask is only looked at, but
 * must be there: a line without it may be cut short, and the address another one. from and line:
 * who names the file; that it cannot be read goes to from_errors, what is wrong with its own lines
 * to errors.
 */
void denyfile_load(struct acl *a, const char *path, const char *from, int line,
    struct errlist *from_errors, struct errlist *errors);

#endif
