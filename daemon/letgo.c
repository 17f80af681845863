/* letgo.c: clients that go, each from all workers and proxies together, or not at all */
#include "config.h"

#include "daemon/letgo.h"

#include "auth/secret.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ends.h"
#include "daemon/talk.h"
#include "proxy/mailbox.h"
#include "proxy/parting.h"
#include "proxy/worker.h"
#include "state/keeper.h"
#include "state/shared.h"
#include "state/state.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/* The workers and the other proxies have so long to answer: well under PARTING_PARK_S. */
#define ROUND_MS 1500
/* and are asked again so long after they have not. */
#define AGAIN_MS 5000
/* How often it is looked who has not heard of ends. */
#define ENDS_LOOK_MS 100
/* Clocks, and what Redis takes: news that are no older are not late. */
#define LATE_MS 1000

#define JOB_MAGIC 0x6a6f6221u
#define LETGO_MAGIC 0x6c657467u

/* An order to all workers; the last of them to be done hands it back to the main thread. */
struct job {
	MAGIC_MEMBER
	struct letgo *l;
	_Atomic size_t missing;
	_Atomic uint32_t result;	/* PARK: all masks; END: the sum */
	enum worker_parting what;
	void (*done)(struct job *j);	/* on the main thread; the job is freed behind it */
	struct talk asked;		/* for another proxy, which asked */
	uint32_t round;
	struct parting who;		/* END: those of several letgo_end(), and who is told */
	letgo_f told[PARTING_MAX];
	void *arg[PARTING_MAX];
};

/* The other proxies that are there, and how many of them have answered. */
struct asked {
	size_t n, nanswered;
	struct {
		char token[TALK_TOKEN];
		bool answered;
	} of[KEEPER_PEERS_MAX];
};

struct letgo {
	MAGIC_MEMBER
	struct letgo_env env;
	bool closed;
	struct job *ending;		/* it goes to the workers in this turn; NULL: none does */
	struct event *end;
	struct event *timer;		/* of the round */
	/* the round: */
	letgo_f done;			/* NULL: there is none */
	void *arg;
	uint32_t round;
	uint64_t again_ms;		/* no further one before */
	struct parting who;
	uint32_t quiet_s;
	uint32_t busy;
	bool here;			/* the workers have answered */
	struct asked asked;
	uint64_t said;			/* to the other proxies, so many times */
	struct ends *ends;		/* what not all of them have heard */
	struct event *look;		/* after that */
	struct talk_seen seen;
};

static void
job_back(void *arg)
{
	struct job *j = arg;

	MAGIC_CHECK(j, JOB_MAGIC);
	if (!j->l->closed)
		j->done(j);
	MAGIC_CLEAR(j);
	free(j);
}

/* On a worker's thread. */
static void
job_part(void *arg, uint32_t result)
{
	struct job *j = arg;

	MAGIC_CHECK(j, JOB_MAGIC);
	if (j->what == WORKER_PARK)
		atomic_fetch_or(&j->result, result);
	else
		atomic_fetch_add(&j->result, result);
	/* It is lost then: the round has its timer. */
	if (atomic_fetch_sub(&j->missing, 1) == 1 &&
	    mailbox_post(j->l->env.mailbox, job_back, j) == -1)
		log_error("out of memory: an answer of the workers is lost");
}

/* NULL: memory is out. */
static struct job *
job_new(struct letgo *l, enum worker_parting what, void (*done)(struct job *j))
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	MAGIC_SET(j, JOB_MAGIC);
	j->l = l;
	j->what = what;
	j->done = done;
	j->missing = l->env.nworkers;
	return j;
}

static void
job_run(struct job *j, const struct parting *p, uint32_t quiet_s)
{
	const struct letgo_env *env = &j->l->env;
	const size_t n = env->nworkers;

	for (size_t i = 0; i < n; i++)
		worker_part(env->workers[i], j->what, p, quiet_s, job_part, j);
}

static void
tell_proxies(struct letgo *l, struct talk *t)
{
	uint8_t wrapped[TALK_WRAPPED];

	if (l->env.shared == NULL)
		return;
	memcpy(t->from, shared_token(l->env.shared), TALK_TOKEN);
	t->at_ms = shared_time(l->env.shared);
	t->number = ++l->said;
	if (talk_write(l->env.secret, t, wrapped) == 0)
		state_tell(l->env.state, wrapped, sizeof(wrapped));
}

/* Only those with a ClientGuid, of whom others may have connections. */
static struct parting
known_to_others(const struct parting *p)
{
	struct parting some = { .n = 0 };

	for (size_t i = 0; i < p->n; i++)
		if (p->who[i].conn_id == 0)
			some.who[some.n++] = p->who[i];
	return some;
}

static void
tell_who(struct letgo *l, enum talk_kind kind, const struct parting *p, uint32_t quiet_s)
{
	struct talk t = { .kind = kind, .quiet_s = quiet_s, .who = known_to_others(p) };

	if (t.who.n > 0)
		tell_proxies(l, &t);
}

/* -1: they cannot be asked. */
static int
find_peers(const struct letgo *l, struct asked *a)
{
	struct keeper_info *info;

	*a = (struct asked){ .n = 0 };
	if (l->env.shared == NULL)
		return 0;
	info = malloc(sizeof(*info));
	if (info == NULL || *l->env.keeper == NULL ||
	    !atomic_load(&shared_stats(l->env.shared)->online)) {
		free(info);
		return -1;
	}
	keeper_describe(*l->env.keeper, info);
	for (size_t i = 0; i < info->npeers; i++)
		if (info->peers[i].same_secret)
			memcpy(a->of[a->n++].token, info->peers[i].token, TALK_TOKEN);
	free(info);
	return a->n > 0 && l->env.secret->len == 0 ? -1 : 0;
}

static void
look_soon(struct letgo *l)
{
	const struct timeval tv = { 0, ENDS_LOOK_MS * 1000 };

	if (ends_wait(l->ends))
		event_add(l->look, &tv);
}

/* Each of them answers that it has heard it. */
static void
tell_end(struct letgo *l, const struct parting *p)
{
	struct talk t = { .kind = TALK_END, .who = known_to_others(p) };
	char peers[KEEPER_PEERS_MAX][TALK_TOKEN];
	struct asked a;

	if (t.who.n == 0)
		return;
	if (find_peers(l, &a) == 0 && a.n > 0) {
		for (size_t i = 0; i < a.n; i++)
			memcpy(peers[i], a.of[i].token, TALK_TOKEN);
		t.round = ends_add(l->ends, &t.who, peers, a.n, clock_ms());
		look_soon(l);
	}
	tell_proxies(l, &t);
}

static void
look_cb(evutil_socket_t fd, short what, void *arg)
{
	struct letgo *l = arg;
	const uint64_t now_ms = clock_ms();
	struct talk t = { .kind = TALK_END_AGAIN };
	struct parting who;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LETGO_MAGIC);
	if (l->closed)
		return;
	while (ends_given_up(l->ends, now_ms, &who))
		log_warn("another proxy has not said that it heard of the end of %zu clients: "
		         "they may go on there", who.n);
	/* Where Redis is away, what was told before it went waits for it as well. */
	while (atomic_load(&shared_stats(l->env.shared)->online) &&
	       ends_due(l->ends, now_ms, &t.who, &t.round, &t.ago_ms))
		tell_proxies(l, &t);
	look_soon(l);
}

/* mask: of p. */
static struct parting
some_of(const struct parting *p, uint32_t mask)
{
	struct parting some = { .n = 0 };

	for (size_t i = 0; i < p->n; i++)
		if ((mask >> i & 1) != 0)
			some.who[some.n++] = p->who[i];
	return some;
}

/* Nobody waits for that. */
static void
order_all(struct letgo *l, enum worker_parting what, const struct parting *p, uint32_t quiet_s)
{
	for (size_t i = 0; i < l->env.nworkers && p->n > 0; i++)
		worker_part(l->env.workers[i], what, p, quiet_s, NULL, NULL);
}

static void
round_over(struct letgo *l, uint32_t busy)
{
	const uint32_t all = (1u << l->who.n) - 1;
	const struct parting go = some_of(&l->who, all & ~busy), stay = some_of(&l->who, busy);
	const letgo_f done = l->done;

	event_del(l->timer);
	l->done = NULL;
	order_all(l, WORKER_RESUME, &stay, 0);
	tell_who(l, TALK_RESUME, &stay, 0);
	order_all(l, WORKER_GO, &go, l->quiet_s);
	tell_who(l, TALK_GO, &go, l->quiet_s);
	done(l->arg, all & ~busy);
}

static void
round_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct letgo *l = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LETGO_MAGIC);
	if (l->done == NULL)
		return;
	/* Who is parked for nothing is not parked all the time. */
	l->again_ms = clock_ms() + AGAIN_MS;
	round_over(l, UINT32_MAX);
}

static void
round_look(struct letgo *l)
{
	if (l->done != NULL && l->here && l->asked.nanswered == l->asked.n)
		round_over(l, l->busy);
}

static void
parked_here(struct job *j)
{
	struct letgo *l = j->l;

	if (l->done == NULL || j->round != l->round)
		return;
	l->busy |= j->result;
	l->here = true;
	round_look(l);
}

bool
letgo_reaches(const struct letgo *l)
{
	struct asked a;

	return find_peers(l, &a) == 0;
}

bool
letgo_ask(struct letgo *l, const struct parting *p, uint32_t quiet_s, letgo_f done, void *arg)
{
	const struct timeval tv = { ROUND_MS / 1000, ROUND_MS % 1000 * 1000 };
	struct talk t = { .kind = TALK_PARK, .quiet_s = quiet_s, .who = *p };
	struct job *j;

	if (l->closed || l->done != NULL || clock_ms() < l->again_ms ||
	    find_peers(l, &l->asked) == -1 ||
	    (j = job_new(l, WORKER_PARK, parked_here)) == NULL)
		return false;
	l->done = done;
	l->arg = arg;
	l->who = *p;
	l->quiet_s = quiet_s;
	l->busy = 0;
	l->here = false;
	j->round = t.round = ++l->round;
	event_add(l->timer, &tv);
	job_run(j, p, quiet_s);
	/* Who has no ClientGuid has no key there, and others have nobody of that. */
	if (l->asked.n > 0)
		tell_proxies(l, &t);
	return true;
}

static void
ended_here(struct job *j)
{
	for (size_t i = 0; i < j->who.n; i++)
		j->told[i](j->arg[i], j->result);
}

static void
end_now(struct letgo *l)
{
	struct job *j = l->ending;

	if (j == NULL)
		return;
	l->ending = NULL;
	/* It comes back to this thread: not before this returns. */
	job_run(j, &j->who, 0);
	tell_end(l, &j->who);
}

static void
end_cb(evutil_socket_t fd, short what, void *arg)
{
	struct letgo *l = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LETGO_MAGIC);
	end_now(l);
}

/*
 * Clients are moved by the hundred, an order each, and each order is a walk of all workers over all
 * their connections: those of one turn are one order, as far as there is room in it. False: memory
 * is out.
 */
static bool
end_together(struct letgo *l, const struct client_ref *who, letgo_f done, void *arg)
{
	struct job *j = l->ending;

	if (j == NULL && (j = l->ending = job_new(l, WORKER_END, ended_here)) == NULL)
		return false;
	j->who.who[j->who.n] = *who;
	j->told[j->who.n] = done;
	j->arg[j->who.n++] = arg;
	if (j->who.n == PARTING_MAX)
		end_now(l);
	else
		event_active(l->end, EV_TIMEOUT, 0);
	return true;
}

void
letgo_end(struct letgo *l, const struct parting *p, letgo_f done, void *arg)
{
	if (l->closed)
		return;
	if (done != NULL) {
		if (!end_together(l, &p->who[0], done, arg))
			done(arg, 0);
		return;
	}
	order_all(l, WORKER_END, p, 0);
	tell_end(l, p);
}

static void
parked_for_other(struct job *j)
{
	struct talk t = { .kind = TALK_ANSWER, .round = j->asked.round, .busy = j->result };

	memcpy(t.to, j->asked.from, sizeof(t.to));
	tell_proxies(j->l, &t);
}

/* Is it for this process? */
static bool
is_to(const struct letgo *l, const struct talk *t)
{
	return memcmp(t->to, shared_token(l->env.shared), TALK_TOKEN) == 0;
}

static void
heard_answer(struct letgo *l, const struct talk *t)
{
	if (l->done == NULL || t->round != l->round || !is_to(l, t))
		return;
	l->busy |= t->busy;
	/* Who has come since answers as well, but in nobody's place. */
	for (size_t i = 0; i < l->asked.n; i++) {
		if (l->asked.of[i].answered ||
		    memcmp(l->asked.of[i].token, t->from, TALK_TOKEN) != 0)
			continue;
		l->asked.of[i].answered = true;
		l->asked.nanswered++;
	}
	round_look(l);
}

/* Late, it is not for those that have come back. */
static void
heard_end(struct letgo *l, const struct talk *t)
{
	struct talk answer = { .kind = TALK_ENDED, .round = t->round };
	const uint64_t now_ms = clock_ms(), there_ms = shared_time(l->env.shared);
	const uint64_t way_ms = there_ms > t->at_ms ? there_ms - t->at_ms : 0;
	const uint64_t late_ms = way_ms + t->ago_ms;
	struct parting who = t->who;

	if (t->kind == TALK_END_AGAIN || late_ms > LATE_MS)
		who.until_ms = now_ms > late_ms ? now_ms - late_ms : 1;
	order_all(l, WORKER_END, &who, 0);
	memcpy(answer.to, t->from, sizeof(answer.to));
	if (t->round != 0)
		tell_proxies(l, &answer);
}

void
letgo_heard(struct letgo *l, const struct talk *t)
{
	struct job *j;

	if (l->closed || l->env.shared == NULL ||
	    memcmp(t->from, shared_token(l->env.shared), TALK_TOKEN) == 0)
		return;
	if (!talk_is_new(&l->seen, t, shared_time(l->env.shared))) {
		fault_add(shared_faults(l->env.shared), FAULT_BAD_VALUE);
		return;
	}
	switch (t->kind) {
	case TALK_PARK:
		j = job_new(l, WORKER_PARK, parked_for_other);
		if (j == NULL)
			break;
		j->asked = *t;
		job_run(j, &t->who, t->quiet_s);
		break;
	case TALK_ANSWER:
		heard_answer(l, t);
		break;
	case TALK_RESUME:
		order_all(l, WORKER_RESUME, &t->who, 0);
		break;
	case TALK_GO:
		order_all(l, WORKER_GO, &t->who, t->quiet_s);
		break;
	case TALK_END:
	case TALK_END_AGAIN:
		heard_end(l, t);
		break;
	case TALK_ENDED:
		if (is_to(l, t))
			ends_heard(l->ends, t->round, t->from);
		break;
	}
}

struct letgo *
letgo_new(const struct letgo_env *env)
{
	struct letgo *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LETGO_MAGIC);
	l->env = *env;
	l->timer = evtimer_new(env->base, round_timer_cb, l);
	l->end = event_new(env->base, -1, 0, end_cb, l);
	l->look = evtimer_new(env->base, look_cb, l);
	l->ends = ends_new();
	if (l->timer == NULL || l->end == NULL || l->look == NULL || l->ends == NULL)
		letgo_free(&l);
	return l;
}

void
letgo_close(struct letgo *l)
{
	end_now(l);
	l->closed = true;
	l->done = NULL;
}

void
letgo_free(struct letgo **lp)
{
	struct letgo *l = *lp;

	if (l == NULL)
		return;
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->end != NULL)
		event_free(l->end);
	if (l->look != NULL)
		event_free(l->look);
	ends_free(&l->ends);
	MAGIC_CLEAR(l);
	free(l);
	*lp = NULL;
}
