/* facts.h: the facts of sessions that live here, put into Redis again and again */
#ifndef STATE_FACTS_H
#define STATE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/names.h"
#include "state/state.h"

struct facts;

struct facts_item {
	uint8_t sid[NAMES_ID_LEN];
	char node[STATE_NODE_LEN];
	size_t len;
	uint8_t bytes[STATE_FACT_MAX];
};

/* One a process, with a leaf lock. NULL when memory is out. */
struct facts *facts_new(void);
void facts_free(struct facts **f);

/* -1: there is no room. A fact that is known is replaced. */
int facts_put(struct facts *f, const struct facts_item *it) __attribute__((warn_unused_result));
/* True: it was there. */
bool facts_drop(struct facts *f, const uint8_t sid[NAMES_ID_LEN], const char *node);
/* Those that are to be put now, at most max; each is due again in NAMES_FACT_MS / 3. */
size_t facts_due(struct facts *f, struct facts_item *it, size_t max);
void facts_all_due(struct facts *f);
size_t facts_count(struct facts *f);

#endif
