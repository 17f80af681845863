/* memory.h: memory that runs out, for tests that link with WRAP_MEMORY */
#ifndef T_UNIT_LIB_MEMORY_H
#define T_UNIT_LIB_MEMORY_H

#include <stdbool.h>

/* The n-th allocation from now on fails, counted from 0; only calls in our own objects count. */
void memory_fail(int n);
/* No allocation fails any more. Returns whether one has. */
bool memory_restore(void);

#endif
