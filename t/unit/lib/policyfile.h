/* policyfile.h: a policy.conf in a directory of the test's own, and texts for it, for tests */
#ifndef T_UNIT_LIB_POLICYFILE_H
#define T_UNIT_LIB_POLICYFILE_H

#include <limits.h>
#include <stdbool.h>

struct errlist;
struct pol_listener;
struct policy;

#define NODE "node \"n1\" { address = \"127.0.0.11:1445\" }\n"

/* Interception, and whose address the nodes see. */
#define SOURCED \
	"node n1 { address = \"10.2.0.11\"" \
	" other-addresses = { \"fd00:2::11\", \"10.3.0.11\" } }\n" \
	"node n2 { address = \"10.2.0.12:1445\" other-addresses = \"::ffff:10.3.0.12\" }\n" \
	"node n3 { address = \"10.2.0.11:1445\" }\n" \
	"rebalance = true\n" \
	"source = pool source-pool = { \"10.2.0.101\", \"fd00:2::101\", \"::ffff:10.2.0.102\" }\n"

/* What a listener does not say is what the file says, before or behind it. */
#define LISTENED \
	NODE "smb1 = allow\n" \
	"listener vpn4 { smb1 = refuse ntlm = refuse\nsource = transparent }\n" \
	"listener lan { vc-reset = identity min-dialect = 3.1.1 }\nlistener bare { }\n" \
	"vc-reset = address auth { guest = refuse }\n"

/* Nearly every setting, and none with its default. */
extern const char full_policy[];

/* Files that are odd but right, each with the node of NODE; NULL behind the last. */
extern const char *const odd_policies[];

/* Of policyfile_begin(): the directory, and policy.conf in it. */
extern char policyfile_dir[PATH_MAX], policyfile_path[PATH_MAX];

/* Makes the directory, a deny-file "good" in it, and the environment that the texts name. */
void policyfile_begin(void);
void policyfile_end(void);

/* Writes policy.conf and loads it; *e is begun here, and the caller ends it. */
struct policy *load(const char *text, struct errlist *e);
/* The same for a text that must be right. */
struct policy *load_good(const char *text);

/* A file beside policy.conf, that it may name. */
void deny_file(const char *name, const char *text);

/* Is all the same but the lines where it stands? */
bool same_rules(const struct pol_listener *a, const struct pol_listener *b);

#endif
