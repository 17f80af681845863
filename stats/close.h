/* close.h: every reason why a connection ends */
#ifndef STATS_CLOSE_H
#define STATS_CLOSE_H

enum close_reason {
#define CLOSE(name, counter, text) CLOSE_##name,
#include "stats/close.tbl.h"
#undef CLOSE
	CLOSE_COUNT
};

const char *close_counter(enum close_reason r);
const char *close_text(enum close_reason r);

#endif
