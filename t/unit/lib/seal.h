/* seal.h: the seals of two clusters on what their proxies write into Redis, for tests */
#ifndef T_UNIT_LIB_SEAL_H
#define T_UNIT_LIB_SEAL_H

#include "state/record.h"

extern const struct record_seal seal, other_seal;

#endif
