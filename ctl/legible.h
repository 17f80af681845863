/* legible.h: an answer as a terminal may have it */
#ifndef CTL_LEGIBLE_H
#define CTL_LEGIBLE_H

#include <jansson.h>

/* Names in it come from clients: whatever they hold, the terminal is not to obey it. */
void legible(json_t *answer);

#endif
