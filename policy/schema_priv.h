/* schema_priv.h: policy.conf while it is loaded, and what its sections have in common */
#ifndef POLICY_SCHEMA_PRIV_H
#define POLICY_SCHEMA_PRIV_H

#include <stdbool.h>

#include "policy/conffile.h"
#include "policy/errlist.h"

struct addr;
struct policy;

/* One load: the file, what becomes of it, and its errors. */
struct schema {
	struct conffile f;
	const char *path;
	struct policy *p;
	struct errlist e;		/* of this file */
	struct errlist *others;		/* of the files that it names */
};

/* Where a value stands: its file, the list for errors of that file, and its line. */
struct schema_at {
	const char *path;
	struct errlist *e;
	int line;
};

/* The values of a section, defaults included, into the structure that it describes. */
void schema_fields(struct schema *l, cfg_t *sec, void *base);
/* An error unless it is the address of one host. text: the address as the error shows it. */
void schema_unicast(const struct schema_at *at, const struct addr *a, const char *what,
    const char *text);
bool schema_is_multicast(const struct addr *a);
void schema_no_memory(struct schema *l, int line);

#endif
