/* accepted.c: how many connections each listener has accepted, earlier processes included */
#include "config.h"

#include "daemon/accepted.h"

#include "base/tlv.h"
#include "daemon/ctl_env.h"
#include "policy/conf.h"
#include "proxy/worker.h"

#include <string.h>

/* Types are never used again for something else. */
enum { ACCEPTED_ROW = 1, ACCEPTED_NAME = 1, ACCEPTED_COUNT = 2 };

uint64_t
accepted_by(const struct ctl_env *env, size_t listener)
{
	uint64_t n = env->accepted_before == NULL ? 0 : env->accepted_before[listener];

	for (size_t i = 0; i < env->nworkers; i++) {
		struct listen_count *c = &env->workers[i]->env.listens[listener];
		/* What was taken over is among the accepted before it is here. */
		const uint64_t accepted = c->accepted, taken = c->taken;

		n += accepted > taken ? accepted - taken : 0;
	}
	return n;
}

void
accepted_write(struct tlv_out *o, const struct ctl_env *env)
{
	for (size_t l = 0; l < env->conf->nlisten; l++) {
		const size_t at = tlv_begin(o, ACCEPTED_ROW);

		tlv_put_text(o, ACCEPTED_NAME, env->conf->listen[l].name);
		tlv_put_uint(o, ACCEPTED_COUNT, accepted_by(env, l));
		tlv_end(o, at);
	}
}

static void
read_row(const struct ctl_env *env, struct tlv_in *in)
{
	struct tlv_in x = tlv_sub(in);
	uint64_t count = 0;
	char name[64] = "";

	while (tlv_next(&x)) {
		if (x.type == ACCEPTED_NAME)
			tlv_text(&x, name, sizeof(name));
		else if (x.type == ACCEPTED_COUNT)
			count = tlv_uint(&x, INT64_MAX);
		else
			tlv_unknown(&x);
	}
	in->bad |= x.bad;
	for (size_t l = 0; !in->bad && env->accepted_before != NULL && l < env->conf->nlisten; l++)
		if (strcmp(env->conf->listen[l].name, name) == 0)
			env->accepted_before[l] = count;
}

int
accepted_read(const struct ctl_env *env, const void *record, size_t n)
{
	struct tlv_in in = tlv_in(record, n);

	while (tlv_next(&in)) {
		if (in.type == ACCEPTED_ROW)
			read_row(env, &in);
		else
			tlv_unknown(&in);
	}
	return in.bad ? -1 : 0;
}
