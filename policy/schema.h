/* schema.h: policy.conf to a new snapshot, or to a list of errors with file:line */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

struct errlist;
struct policy;

/*
 * Reads the whole file first, then parses and checks it and the files that it names; touches
 * nothing that is in force. Returns the new policy with one reference, or NULL with at least one
 * error in *e (which the caller has zeroed and frees).
 */
struct policy *schema_load(const char *path, struct errlist *e);

/*
 * The same with the text of policy.conf that `now` was made of: the files that it names have
 * changed, and what somebody is writing into policy.conf meanwhile is not meant yet.
 */
struct policy *schema_again(const struct policy *now, const char *path, struct errlist *e);

#endif
