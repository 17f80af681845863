/* holds.h: what must be true of any input, in a unit test and under a fuzzer alike */
#ifndef T_UNIT_LIB_HOLDS_H
#define T_UNIT_LIB_HOLDS_H

#include <stdio.h>
#include <stdlib.h>

/* assert() would do, but a build with NDEBUG must still find what it runs for. */
#define HOLDS(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
			abort(); \
		} \
	} while (0)

#endif
