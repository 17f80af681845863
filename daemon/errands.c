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

#include <event2/event.h>

/* Clients are moved by the hundred, an order each: others are to get lists of connections, too. */
#define AT_ONCE 4
/* There is none to be had, for so many ask for them. */
#define AGAIN_MS 50

#define LOST "an order from the process that has taken over is lost"

#define ORDER_MAGIC 0x4f524452u

/* One that wants the clients of all workers first. */
struct order {
	MAGIC_MEMBER
	struct errands *errands;
	struct census *census;
	struct ctl_later later;
	TAILQ_ENTRY(order) entry;
};

struct errands {
	const struct ctl_env *env;
	struct event *again;
	size_t nout;
	TAILQ_HEAD(orders, order) waiting, out;
};

static void
order_free(struct order *x)
{
	census_forget(&x->census);
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

static void orders_go_on(struct errands *o);

static void
order_met_cb(void *arg, const struct census_found *found)
{
	struct order *x = arg;
	struct errands *o = x->errands;

	MAGIC_CHECK(x, ORDER_MAGIC);
	x->census = NULL;
	if (found != NULL)
		order_over(x->later.meet(o->env, &x->later, found));
	else
		log_error("out of memory: " LOST);
	TAILQ_REMOVE(&o->out, x, entry);
	o->nout--;
	order_free(x);
	orders_go_on(o);
}

static void
orders_again_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	orders_go_on(arg);
}

/* The first of those that wait, in their turn. */
static void
orders_go_on(struct errands *o)
{
	const struct census_env env = { o->env->connlist, o->env->clerk, o->env->sessions };
	const struct timeval tv = { 0, AGAIN_MS * 1000 };
	const char *why;
	struct order *x;

	while (o->nout < AT_ONCE && (x = TAILQ_FIRST(&o->waiting)) != NULL) {
		x->census = census_ask(&env, true, &x->later.who, order_met_cb, x, &why);
		if (x->census == NULL) {
			event_add(o->again, &tv);
			return;
		}
		TAILQ_REMOVE(&o->waiting, x, entry);
		TAILQ_INSERT_TAIL(&o->out, x, entry);
		o->nout++;
	}
}

static void
order_wait(struct errands *o, const struct ctl_later *later)
{
	struct order *x = calloc(1, sizeof(*x));

	if (o->again == NULL)
		o->again = evtimer_new(o->env->base, orders_again_cb, o);
	if (x == NULL || o->again == NULL) {
		free(x);
		log_error("out of memory: " LOST);
		return;
	}
	MAGIC_SET(x, ORDER_MAGIC);
	x->errands = o;
	x->later = *later;
	TAILQ_INSERT_TAIL(&o->waiting, x, entry);
	orders_go_on(o);
}

void
errands_run(struct errands *o, const char *request, size_t n)
{
	struct ctl_later later;

	order_over(ctl_request(o->env, geteuid(), request, n, &later));
	if (later.meet != NULL && later.who.text[0] != '\0')
		order_wait(o, &later);
}

struct errands *
errands_new(const struct ctl_env *env)
{
	struct errands *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->env = env;
	TAILQ_INIT(&o->waiting);
	TAILQ_INIT(&o->out);
	return o;
}

static void
orders_free(struct orders *all)
{
	struct order *x;

	while ((x = TAILQ_FIRST(all)) != NULL) {
		TAILQ_REMOVE(all, x, entry);
		order_free(x);
	}
}

void
errands_free(struct errands **op)
{
	struct errands *o = *op;

	if (o == NULL)
		return;
	orders_free(&o->out);
	orders_free(&o->waiting);
	if (o->again != NULL)
		event_free(o->again);
	free(o);
	*op = NULL;
}
