/* made.h: frames as peers make them, message by message, and what went out looked at, for tests */
#ifndef T_UNIT_LIB_MADE_H
#define T_UNIT_LIB_MADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wr.h"
#include "inspect/verdict.h"
#include "smb/chain2.h"

struct talk;

/* The session of all that is made here. */
#define SESSION 0x1122334455667788ull

/* One frame under construction: messages with NextCommand and padding as a sender makes them. */
struct made {
	uint8_t b[65536];
	struct wr w;
	size_t start;
	bool open;
};

void made_init(struct made *m);
struct wr *made_next(struct made *m);
size_t made_end(struct made *m);
void put_session_setup(struct made *m, uint64_t mid, uint64_t session, uint8_t flags);
void put_session_setup_resp(struct made *m,
    uint64_t mid, uint64_t session, uint32_t status, uint16_t flags);
void put_query(struct made *m, uint64_t mid, uint32_t max_output);
void put_echo(struct made *m, uint64_t mid, bool response);
void put_list_resp(struct made *m, uint64_t mid, uint32_t flags, const char *const *addrs);
void put_error(struct made *m, uint64_t mid, uint32_t status, uint32_t flags);
unsigned parts_out(struct talk *t, enum dir d, struct part2 *parts, unsigned max);
const uint8_t *part_bytes(struct talk *t, enum dir d, const struct part2 *p);
void expect_list(struct talk *t, const struct part2 *p, const char *want);

#endif
