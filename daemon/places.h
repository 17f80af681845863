/* places.h: how many clients there are descriptors for, beside those that smbgate needs itself */
#ifndef DAEMON_PLACES_H
#define DAEMON_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/* Pure: with so many descriptors, on so many workers with so many listeners each. */
unsigned places_count(uint64_t descriptors, unsigned workers, unsigned listeners, bool http);

/* Raises the limit of descriptors as far as it goes, and says in the log what it is good for. */
unsigned places_raise(unsigned workers, unsigned listeners, bool http);

#endif
