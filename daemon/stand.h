/* stand.h: pure: what an operator has a node be, and on which terms */
#ifndef DAEMON_STAND_H
#define DAEMON_STAND_H

#include <stdbool.h>
#include <stdint.h>

#define STAND_TEXT 64
#define STAND_QUIET_MS 30000
/* Longer than that nobody waits, and every sum with it stays in range. */
#define STAND_TIME_MAX_MS (400ULL * 86400 * 1000)

enum stand_kind { STAND_ACTIVE, STAND_DRAIN, STAND_MAINT };

struct stand {
	enum stand_kind kind;
	uint64_t quiet_ms;	/* a client is let go that has said nothing for so long */
	uint64_t deadline_ms;	/* from the order on: then the others are cut; 0: never */
};

/* As other proxies are told: "drain", or "drain QUIET DEADLINE". Returns dst. */
const char *stand_text(const struct stand *s, char dst[STAND_TEXT]);
/* What cannot be read is active. */
struct stand stand_read(const char *text);

#endif
