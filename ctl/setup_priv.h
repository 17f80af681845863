/* setup_priv.h: the parts of the check of a set-up, for ctl/setup*.c alone */
#ifndef CTL_SETUP_PRIV_H
#define CTL_SETUP_PRIV_H

#include <stddef.h>
#include <stdint.h>

struct check;
struct conf;
struct ownaddr;
struct pol_node;
struct policy;
struct setup_ask;

struct setup {
	struct check *c;
	const struct setup_ask *ask;
	const struct conf *conf;
	const struct policy *policy;
};

void setup_keytab(const struct setup *s);
void setup_nodes(const struct setup *s);
/* Of those that answer. */
void setup_bypass(const struct setup *s, const struct pol_node *const *nodes, size_t n);
void setup_kdc(const struct setup *s);
/* "clock-skew": so far is that clock ahead of ours. */
void setup_clock(const struct setup *s, const char *whose, int64_t ahead_s);
/* "name-leads": where the names lead that clients use; own: this machine's addresses. */
void setup_name(const struct setup *s, const struct ownaddr *own);
void setup_redis(const struct setup *s);

#endif
