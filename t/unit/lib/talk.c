/* talk.c: one connection between client and node without sockets, for tests */
#include "config.h"

#include "t/unit/lib/talk.h"

#include "auth/crypt.h"
#include "auth/keyhash.h"
#include "auth/secret.h"

#include "base/magic.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "proxy/progress.h"
#include "stats/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct verdict
head_op(void *arg, const uint8_t *p, size_t avail)
{
	struct talk_side *s = arg;

	return progress_ops.head(&s->talk->conn.side[s->dir], p, avail);
}

static struct verdict
part_op(void *arg, const uint8_t *p, size_t avail, size_t left)
{
	struct talk_side *s = arg;

	return progress_ops.part(&s->talk->conn.side[s->dir], p, avail, left);
}

static struct outcome
held_op(void *arg, const uint8_t *frame, size_t len)
{
	struct talk_side *s = arg;

	s->frames_held++;
	return progress_ops.held(&s->talk->conn.side[s->dir], frame, len);
}

static int
send_op(void *arg, const uint8_t *p, size_t n)
{
	struct talk_side *s = arg;

	return buf_add(&s->out, p, n);
}

static const struct pump_ops ops = {
	.head = head_op,
	.part = part_op,
	.held = held_op,
	.send = send_op,
};

static struct policy *
load(const char *text)
{
	char path[] = "/tmp/smbgate-test-XXXXXX";
	struct errlist e = { .n = 0 };
	struct policy *p;
	int fd = mkstemp(path);

	if (fd == -1 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	p = schema_load(path, &e);
	unlink(path);
	if (p == NULL) {
		fprintf(stderr, "%s\n", e.text[0]);
		abort();
	}
	errlist_fini(&e);
	return p;
}

struct mediate_env *
talk_env_new(const char *policy)
{
	struct mediate_env *env = calloc(1, sizeof(*env));

	if (env == NULL)
		abort();
	env->sessions = sesstab_new();
	env->stats = calloc(1, sizeof(struct stats));
	env->policy = load(policy);
	env->crypt = crypt_new();
	env->hash = keyhash_new(&(struct secret){ .len = 0 });
	return env;
}

void
talk_env_free(struct mediate_env *env)
{
	sesstab_free(&env->sessions);
	policy_unref(&env->policy);
	crypt_free(&env->crypt);
	free(env->messages);
	keyhash_free(&env->hash);
	free(env->stats);
	free(env);
}

/* As conn.c does it: an answer that waited for a key is looked at again. */
static void
wake(void *arg, enum dir dir)
{
	struct talk *t = arg;
	struct talk_side *s = &t->side[dir];
	enum close_reason why = CLOSE_COUNT;

	if (t->closed || !s->pump.waiting)
		return;
	if (pump_resume(&s->pump, &ops, s, &why) != PUMP_OK) {
		t->closed = true;
		t->why = why;
	}
}

void
talk_init(struct talk *t, struct mediate_env *env, const char *listener, const char *dialled)
{
	struct channel_ends self = { .conn_id = 1 };

	memset(t, 0, sizeof(*t));
	t->env = env;
	env->wake = wake;
	MAGIC_SET(&t->conn, CONN_MAGIC);
	t->conn.listener = &t->listener;
	t->conn.stage = CONN_RELAY;
	if (addr_parse(&self.local.addr, dialled) == -1)
		abort();
	snprintf(t->node.name, sizeof(t->node.name), "n1");
	t->node.health = NODE_UP;
	mediate_init(&t->conn.mediate, t->env, listener, &self, t);
	t->conn.mediate.node = &t->node;
	for (int i = 0; i < 2; i++) {
		t->side[i].talk = t;
		t->side[i].dir = (enum dir)i;
		MAGIC_SET(&t->conn.side[i], SIDE_MAGIC);
		t->conn.side[i].conn = &t->conn;
		t->conn.side[i].dir = (enum dir)i;
	}
}

void
talk_end(struct talk *t)
{
	if (!t->ended)
		mediate_fini(&t->conn.mediate);
	t->ended = true;
}

void
talk_fini(struct talk *t)
{
	talk_end(t);
	for (int i = 0; i < 2; i++) {
		pump_fini(&t->side[i].pump);
		buf_fini(&t->side[i].out);
	}
}

bool
talk_feed(struct talk *t, enum dir dir, const uint8_t *p, size_t n)
{
	enum close_reason why = CLOSE_COUNT;

	if (t->closed)
		return false;
	if (pump_feed(&t->side[dir].pump, &ops, &t->side[dir], p, n, &why) != PUMP_OK) {
		t->closed = true;
		t->why = why;
	}
	return !t->closed;
}
