/* keydrules.h: the rules of smbgate-keyd at a time that the test sets */
#ifndef T_UNIT_LIB_KEYDRULES_H
#define T_UNIT_LIB_KEYDRULES_H

#include <time.h>

struct rules;

/* What their clock says. */
extern time_t now_s;

/* services: as rules_init() takes them, and right. */
void rules_begin(struct rules *r, const char *services);

#endif
