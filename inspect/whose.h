/* whose.h: is it the connection of somebody whom people have named? */
#ifndef INSPECT_WHOSE_H
#define INSPECT_WHOSE_H

#include <stdbool.h>

#include "inspect/env.h"
#include "inspect/who.h"

/*
 * By its number, its client's address, its client's GUID (NULL: not known), a session on it, or a
 * user who has logged on. What is not known yet may be so later.
 */
bool whose_is(const struct who *w, const struct mediate *m, const struct guid *guid);

#endif
