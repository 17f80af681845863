/* denyfile.h: addresses out of a CTDB public_addresses file */
#ifndef POLICY_DENYFILE_H
#define POLICY_DENYFILE_H

struct acl;
struct errlist;

/*
 * "ADDRESS/MASK INTERFACE[,INTERFACE...]" a line, '#' comments, ctdb(7): every address becomes a
 * deny rule for itself alone. from and line: who names the file, for the error that it is missing.
 */
void denyfile_load(struct acl *a, const char *path, const char *from, int line, struct errlist *e);

#endif
