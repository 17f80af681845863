/* ask.h: one request to a running smbgate, and its answer */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <jansson.h>

/* Over the control socket at path. A new object; NULL: the reason is on stderr. */
json_t *ask(const char *path, const json_t *request);

#endif
