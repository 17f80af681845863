/* env.c: what all inspected connections of one worker share, and what one of them is */
#include "config.h"

#include "inspect/env.h"

#include "base/clock.h"
#include "nodes/node.h"
#include "stats/refused.h"

#include <stdio.h>

struct log_fields
mediate_log(const struct mediate *m, enum log_event event)
{
	return (struct log_fields){ .event = event, .id = m->self.conn_id,
		.client = &m->self.client, .local = &m->self.local, .listener = m->self.listener,
		.node = m->node == NULL ? NULL : m->node->name };
}

void
mediate_refused(const struct mediate *m, int kind, const struct guid *guid, uint64_t session_id,
    const char *user)
{
	struct refusal r = { .kind = (uint8_t)kind, .client = m->self.client,
		.local = m->self.local, .guid = *guid, .session_id = session_id,
		.at_ms = clock_ms() };

	if (m->env->refused == NULL || kind < 0)
		return;
	if (m->node != NULL)
		snprintf(r.node, sizeof(r.node), "%s", m->node->name);
	if (user != NULL)
		snprintf(r.user, sizeof(r.user), "%s", user);
	else if (!sesstab_user(m->env->sessions, session_id, r.user, sizeof(r.user)))
		snprintf(r.user, sizeof(r.user), "%s", logons_user(&m->logons));
	refused_note(m->env->refused, &r);
}

void
mediate_wake_request(void *arg)
{
	struct mediate *m = arg;

	MAGIC_CHECK(m, MEDIATE_MAGIC);
	m->env->wake(m->owner, C2S);
}

void
mediate_wake_answer(void *arg)
{
	struct mediate *m = arg;

	MAGIC_CHECK(m, MEDIATE_MAGIC);
	m->env->wake(m->owner, S2C);
}
