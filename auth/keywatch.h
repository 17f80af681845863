/* keywatch.h: what all workers know of smbgate-keyd: whether it answers, and what it is asked */
#ifndef AUTH_KEYWATCH_H
#define AUTH_KEYWATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero at first; written by all threads. */
struct keywatch {
	/* It did not answer somebody in time, and nobody has heard of it since. */
	atomic_bool silent;
	atomic_uint_least64_t timeouts;	/* exchanges that were not answered in time */
	atomic_uint_least64_t queued;	/* exchanges that wait to be sent to it, now */
	atomic_uint_least64_t answers;	/* exchanges that it answered with the last word */
	atomic_uint_least64_t wait_us;	/* how long these took, in all */
	atomic_uint_least64_t wait_us_max;
	atomic_uint_least64_t accepted;	/* exchanges begun, of logons that a node has accepted */
	/* What it was asked beyond those: the most so far. Whoever hears its counters sets it. */
	atomic_uint_least64_t unmatched;
};

#endif
