/* errands.c: what operators ask of the smbgate that has taken over is done here, too */
#include "config.h"

#include "daemon/errands.h"

#include "base/log.h"
#include "base/magic.h"
#include "daemon/census.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/ctl_request.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#define ORDER_MAGIC 0x4f524452u

/* One that wants the clients of all workers first. */
struct order {
	MAGIC_MEMBER
	struct errands *errands;
	struct census *census;
	struct ctl_later later;
	LIST_ENTRY(order) entry;
};

struct errands {
	const struct ctl_env *env;
	LIST_HEAD(, order) waiting;
};

static void
order_free(struct order *x)
{
	census_forget(&x->census);
	LIST_REMOVE(x, entry);
	MAGIC_CLEAR(x);
	free(x);
}

/* Takes over the answer. */
static void
order_over(json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error != NULL)
		log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
		    "an order from the process that has taken over: %s", error);
	json_decref(answer);
}

static void
met_cb(void *arg, const struct census_found *found)
{
	struct order *x = arg;

	MAGIC_CHECK(x, ORDER_MAGIC);
	x->census = NULL;
	if (found != NULL)
		order_over(x->later.meet(x->errands->env, &x->later, found));
	order_free(x);
}

static void
order_begin(struct errands *o, const struct ctl_later *later)
{
	const struct census_env env = { o->env->connlist, o->env->clerk, o->env->sessions };
	const char *why = "out of memory";
	struct order *x = calloc(1, sizeof(*x));

	if (x != NULL) {
		MAGIC_SET(x, ORDER_MAGIC);
		x->errands = o;
		x->later = *later;
		LIST_INSERT_HEAD(&o->waiting, x, entry);
		x->census = census_ask(&env, true, &x->later.who, met_cb, x, &why);
		if (x->census != NULL)
			return;
		order_free(x);
	}
	log_error("an order from the process that has taken over is lost: %s", why);
}

void
errands_run(struct errands *o, const char *request, size_t n)
{
	struct ctl_later later;

	order_over(ctl_request(o->env, geteuid(), request, n, &later));
	if (later.meet != NULL && later.who.text[0] != '\0')
		order_begin(o, &later);
}

struct errands *
errands_new(const struct ctl_env *env)
{
	struct errands *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->env = env;
	LIST_INIT(&o->waiting);
	return o;
}

void
errands_free(struct errands **op)
{
	struct errands *o = *op;

	if (o == NULL)
		return;
	while (!LIST_EMPTY(&o->waiting))
		order_free(LIST_FIRST(&o->waiting));
	free(o);
	*op = NULL;
}
