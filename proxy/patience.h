/* patience.h: pure: how long a connection may take to log on, by how many others are about it */
#ifndef PROXY_PATIENCE_H
#define PROXY_PATIENCE_H

#include <stdint.h>

/* Of a deadline, in percent: all of it while there is room, a tenth of it when there is little. */
#define PATIENCE_ALL 100
#define PATIENCE_LEAST 10

/* As used of max connections without a logon are there now. Never more for more of them. */
unsigned patience_share(unsigned used, unsigned max);

/* What is left of a time of ms by that share: the oldest are the first to be over it. */
uint64_t patience_of(uint64_t ms, unsigned share);

#endif
