/* claims.c: a process's part of a shared map, with a test in the place of Redis */
#include "config.h"

#include "t/unit/lib/claims.h"

#include "state/link.h"
#include "state/names.h"
#include "t/unit/lib/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct shared *map;
struct shared_port port;

int
claims_begin(void **state)
{
	static struct link_conf conf = { .timeout_ms = 20 };

	(void)state;
	map = shared_new(&conf, &seal, 100);
	TAILQ_INIT(&port.ready);
	if (map != NULL)
		shared_online(map, true, false);
	return map == NULL ? -1 : 0;
}

int
claims_end(void **state)
{
	(void)state;
	assert_int_equal(shared_claims(map), 0);
	shared_free(&map);
	return map == NULL ? 0 : -1;
}

static struct state_key
key(unsigned n)
{
	struct state_key k = { .b = { STATE_KEY_GUID } };

	memcpy(k.b + 1, &n, sizeof(n));
	return k;
}

enum shared_when
join(struct state_hold *h, unsigned n, const char *node, const char *home, struct state_claim *c)
{
	const struct state_key k = key(n);

	*h = (struct state_hold){ .m = map, .port = &port };
	return shared_claim(h, &k, node, home, c);
}

bool
answer(char kind, int how, const char *node, uint64_t made_ms, unsigned others)
{
	struct shared_op op;
	struct record rec;
	struct shared_result r = { .how = how, .others = others };
	struct state_key lost;

	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, kind);
	if (node != NULL) {
		record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, made_ms, node);
		r.record = rec.bytes;
		r.len = rec.len;
	}
	return shared_done(map, &op, &r, &lost);
}

void
nothing_due(void)
{
	struct shared_op op;

	assert_int_equal(shared_take(map, &op, 1, true), 0);
}

void
told(struct state_hold *h, struct state_claim *c)
{
	assert_ptr_equal(shared_next(map, &port, c), h);
}

void
leave(struct state_hold *h)
{
	shared_leave(h, 1000);
}

void
leave_last(struct state_hold *h)
{
	leave(h);
	(void)answer('r', HOW_HELD, NULL, 0, 0);
}
