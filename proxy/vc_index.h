/* vc_index.h: who is to end for a VcNumber 0: a worker's connections by their client */
#ifndef PROXY_VC_INDEX_H
#define PROXY_VC_INDEX_H

#include <stdint.h>

#include "policy/policy.h"

struct conn;
struct conn_env;
struct vc_reset;

struct vc_index;

/*
 * One a worker. It has memory for connections with a logon alone, and while vc-reset is not off.
 * NULL when memory is out.
 */
struct vc_index *vc_index_new(void);
/* When no connection is left. */
void vc_index_free(struct vc_index **x);

/* What the policy says of c. */
enum pol_vc_reset vc_index_how(const struct conn *c);
/* vc_reset_key() of c, as far as it is known who it is. */
uint64_t vc_index_key(const struct conn *c);
/* A logon has succeeded on c, which may have told anew who it is. */
void vc_index_put(struct conn *c);
/* c ends. */
void vc_index_take(struct conn *c);
/* Another policy is in force: by what clients are told may be another thing now. */
void vc_index_policy(struct conn_env *env);
/* The connections that r means end. */
void vc_index_reset(struct conn_env *env, const struct vc_reset *r);

#endif
