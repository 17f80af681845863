/* wait.c: what a held frame of a connection waits for, and which of its directions goes on then */
#include "config.h"

#include "proxy/wait.h"

#include "proxy/conn_priv.h"

static const enum dir wait_dir[] = {
	[WAIT_NONE] = C2S,
#define WAIT(name, direction) [WAIT_##name] = (direction),
#include "proxy/wait.tbl.h"
#undef WAIT
};

struct outcome
wait_for(struct side *s, enum wait w)
{
	s->wait = (uint8_t)w;
	return (struct outcome){ .act = OUTCOME_WAIT };
}

void
wait_over(struct conn *c, enum wait w)
{
	struct side *s = &c->side[wait_dir[w]];

	if (s->wait != w)
		return;
	s->wait = WAIT_NONE;
	c->resume[s->dir] = true;
}

void
wait_judged(struct side *s)
{
	wait_over(s->conn, s->dir == C2S ? WAIT_KEY : WAIT_FACTS);
}
