/* limits.c: accept rate and connections, limited per source, and those without a logon in all */
#include "config.h"

#include "proxy/limits.h"

#include "base/addr.h"
#include "base/hash.h"
#include "policy/policy.h"
#include "proxy/patience.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/* A connection that would have to wait longer than this for its turn is refused. */
#define MAX_DELAY_MS 1000
/* Early drop starts when this share (in percent) of all places is taken. */
#define EARLY_DROP_FROM 75
/* Guests, who stay, may have this share: they shall not keep those out who can log on. */
#define GUESTS_MOST 75
/* Idle sources looked at with each new connection. */
#define SWEEP_STEP 4

struct source {
	struct addr addr;
	unsigned connections;
	unsigned unauthenticated;	/* of them; guests are among these */
	uint64_t tat_us;	/* generic cell rate algorithm: when the bucket is empty again */
	UT_hash_handle hh;
};

struct limits {
	pthread_mutex_t lock;
	struct source *sources;
	struct source *sweep;
	unsigned strangers;
	unsigned guests;
	unsigned places;
	_Atomic unsigned taken;		/* of them */
};

struct limits *
limits_new(unsigned places)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->places = places;
	return l;
}

static void
source_del(struct limits *l, struct source *s)
{
	if (l->sweep == s)
		l->sweep = s->hh.next;
	HASH_DEL(l->sources, s);
	free(s);
}

void
limits_free(struct limits **lp)
{
	struct limits *l = *lp;
	struct source *s, *tmp;

	if (l == NULL)
		return;
	HASH_ITER(hh, l->sources, s, tmp)
		source_del(l, s);
	pthread_mutex_destroy(&l->lock);
	free(l);
	*lp = NULL;
}

/* One household has one IPv6 /64: single addresses in it cost nothing. */
static struct addr
source_of(const struct addr *a)
{
	struct addr s = *a;

	if (!addr_is_v4(&s))
		memset(s.b + 8, 0, 8);
	return s;
}

static void
limits_sweep(struct limits *l, uint64_t now_us)
{
	for (int i = 0; i < SWEEP_STEP; i++) {
		struct source *s = l->sweep != NULL ? l->sweep : l->sources;

		if (s == NULL)
			return;
		l->sweep = s->hh.next;
		if (s->connections == 0 && s->tat_us <= now_us)
			source_del(l, s);
	}
}

static struct source *
source_get(struct limits *l, const struct addr *src)
{
	struct addr key = source_of(src);
	struct source *s;

	HASH_FIND(hh, l->sources, &key, sizeof(key), s);
	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->addr = key;
	HASH_ADD(hh, l->sources, addr, sizeof(s->addr), s);
	if (!hash_has(s)) {
		free(s);
		return NULL;
	}
	return s;
}

/* Places that those who stay, with a logon or as guests, leave to strangers. */
static unsigned
places_left(const struct limits *l)
{
	unsigned taken = l->taken;
	unsigned settled = taken > l->strangers ? taken - l->strangers : 0;

	return settled < l->places ? l->places - settled : 0;
}

/* The same of what policy lets be without a logon. */
static unsigned
room_left(const struct limits *l, const struct pol_limits *p)
{
	return l->guests < p->unauthenticated ? p->unauthenticated - l->guests : 0;
}

/* How many strangers may be there now. */
static unsigned
most(const struct limits *l, const struct pol_limits *p)
{
	unsigned left = places_left(l), room = room_left(l, p);

	return left < room ? left : room;
}

static bool
guest_fits(const struct limits *l, const struct pol_limits *p)
{
	unsigned all = p->unauthenticated < l->places ? p->unauthenticated : l->places;

	return l->guests < (uint64_t)all * GUESTS_MOST / 100;
}

/* Random early drop: the fuller, the likelier; so a flood cannot keep everybody out. */
static bool
unlucky(unsigned used, unsigned max)
{
	unsigned from = (unsigned)((uint64_t)max * EARLY_DROP_FROM / 100);

	if (used >= max)
		return true;
	return used > from && arc4random_uniform(max - from) < used - from;
}

static bool
rate_allows(struct source *s, const struct pol_limits *p, uint64_t now_us, unsigned *delay_ms)
{
	uint64_t step, tat, room;

	if (p->accept_rate == 0)
		return true;
	step = 1000000 / p->accept_rate;
	room = step * p->accept_burst;
	tat = s->tat_us > now_us ? s->tat_us : now_us;
	if (tat > now_us + room) {
		uint64_t wait_ms = (tat - now_us - room) / 1000 + 1;

		if (wait_ms > MAX_DELAY_MS)
			return false;
		*delay_ms = (unsigned)wait_ms;
	}
	s->tat_us = tat + step;
	return true;
}

bool
limits_enter(struct limits *l, const struct pol_limits *p, const struct addr *src,
    uint64_t now_ms, unsigned *delay_ms, enum close_reason *why)
{
	uint64_t now_us = now_ms * 1000;
	struct source *s;
	bool ok = false;

	*delay_ms = 0;
	pthread_mutex_lock(&l->lock);
	limits_sweep(l, now_us);
	s = source_get(l, src);
	if (s == NULL) {
		*why = CLOSE_NO_MEMORY;
	} else if (s->connections >= p->connections_per_source) {
		*why = CLOSE_SOURCE_FULL;
	} else if (unlucky(l->strangers, room_left(l, p))) {
		*why = CLOSE_UNAUTH_LIMIT;
	} else if (unlucky(l->strangers, places_left(l) + 1)) {
		/* This one has its place, and is not counted yet. */
		*why = CLOSE_NO_FILES;
	} else if (s->unauthenticated >= p->unauthenticated_per_source) {
		*why = CLOSE_UNAUTH_SOURCE;
	} else if (!rate_allows(s, p, now_us, delay_ms)) {
		*why = CLOSE_ACCEPT_RATE;
	} else {
		s->connections++;
		s->unauthenticated++;
		l->strangers++;
		ok = true;
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}

/* One more of that standing, or (by -1) one less. */
static void
limits_count(struct limits *l, struct source *s, enum standing standing, unsigned by)
{
	if (standing == STANDING_NONE)
		return;
	s->connections += by;
	if (standing == STANDING_USER)
		return;
	s->unauthenticated += by;
	if (standing == STANDING_GUEST)
		l->guests += by;
	else
		l->strangers += by;
}

bool
limits_move(struct limits *l, const struct pol_limits *p, const struct addr *src,
    enum standing from, enum standing to)
{
	struct addr key = source_of(src);
	struct source *s;
	bool fits;

	pthread_mutex_lock(&l->lock);
	HASH_FIND(hh, l->sources, &key, sizeof(key), s);
	fits = to != STANDING_GUEST || guest_fits(l, p);
	/* It is there as long as a connection of it is. */
	if (s != NULL && fits) {
		limits_count(l, s, from, -1u);
		limits_count(l, s, to, 1);
	}
	pthread_mutex_unlock(&l->lock);
	return fits;
}

bool
limits_adopt(struct limits *l, const struct addr *src, enum standing as)
{
	struct source *s;

	pthread_mutex_lock(&l->lock);
	s = as == STANDING_NONE ? NULL : source_get(l, src);
	if (s != NULL)
		limits_count(l, s, as, 1);
	pthread_mutex_unlock(&l->lock);
	return s != NULL || as == STANDING_NONE;
}

bool
limits_take(struct limits *l)
{
	if (atomic_fetch_add(&l->taken, 1) < l->places)
		return true;
	limits_give(l);
	return false;
}

void
limits_give(struct limits *l)
{
	atomic_fetch_sub(&l->taken, 1);
}

unsigned
limits_patience(struct limits *l, const struct pol_limits *p)
{
	unsigned share;

	pthread_mutex_lock(&l->lock);
	share = patience_share(l->strangers, most(l, p));
	pthread_mutex_unlock(&l->lock);
	return share;
}

unsigned
limits_places(const struct limits *l)
{
	return l->places;
}

unsigned
limits_taken(struct limits *l)
{
	return l->taken;
}

unsigned
limits_unauthenticated(struct limits *l, unsigned *guests)
{
	unsigned n;

	pthread_mutex_lock(&l->lock);
	*guests = l->guests;
	n = l->strangers + l->guests;
	pthread_mutex_unlock(&l->lock);
	return n;
}
