/* env.c: what all inspected connections of one worker share, and what one of them is */
#include "config.h"

#include "inspect/env.h"

#include "base/clock.h"
#include "nodes/node.h"

struct log_conn
mediate_log(const struct mediate *m)
{
	return (struct log_conn){ .id = m->self.conn_id, .client = &m->self.client,
		.node = m->node == NULL ? NULL : m->node->name };
}

bool
mediate_may_log(struct mediate *m)
{
	unsigned left_out;

	if (!log_allow(&m->env->log, clock_ms(), &left_out))
		return false;
	if (left_out > 0)
		log_warn("%u lines about messages left out", left_out);
	return true;
}

void
mediate_wake(void *arg)
{
	struct mediate *m = arg;

	MAGIC_CHECK(m, MEDIATE_MAGIC);
	m->wake(m->wake_arg);
}
