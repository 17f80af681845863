/* logon1.c: the SMB1 logons under way on one connection, told apart by PID and MID */
#include "config.h"

#include "inspect/logon1.h"

#include "auth/keyx.h"
#include "smb/neg1.h"

#include <stdlib.h>

/*
 * [MS-CIFS] 2.2.1.6.2: PID and MID tell requests apart that are under way. Who gives two the same
 * is answered in the order of asking, as servers work.
 */
static uint32_t
pid_of(const struct hdr1 *h)
{
	return (uint32_t)h->pid_high << 16 | h->pid;
}

void
logon1s_init(struct logon1s *l)
{
	TAILQ_INIT(&l->list);
}

void
logon1s_fini(struct logon1s *l)
{
	struct logon1 *x;

	while ((x = TAILQ_FIRST(&l->list)) != NULL)
		logon1_drop(l, x);
}

size_t
logon1s_size(const struct logon1s *l)
{
	const struct logon1 *x;
	size_t n = 0;

	TAILQ_FOREACH(x, &l->list, entry)
		n += sizeof(*x) + (x->keyx != NULL ? keyx_size(x->keyx) : 0);
	return n;
}

void
logon1_drop(struct logon1s *l, struct logon1 *x)
{
	TAILQ_REMOVE(&l->list, x, entry);
	l->n--;
	keyx_free(&x->keyx);
	MAGIC_CLEAR(x);
	free(x);
}

/* The logon that goes on under the UID that the node gave it with its last answer. */
static struct logon1 *
next_leg(const struct logon1s *l, uint16_t uid)
{
	struct logon1 *x;

	TAILQ_FOREACH(x, &l->list, entry)
		if (x->state == LOGON1_MORE && x->uid == uid)
			return x;
	return NULL;
}

struct logon1 *
logon1_asked(struct logon1s *l, struct smb1 *of, const struct hdr1 *h, bool chained)
{
	struct logon1 *x = chained ? NULL : next_leg(l, h->uid);

	if (x != NULL) {
		TAILQ_REMOVE(&l->list, x, entry);
	} else {
		if (l->n >= LOGON1_MAX)
			logon1_drop(l, TAILQ_FIRST(&l->list));
		x = calloc(1, sizeof(*x));
		if (x == NULL)
			return NULL;
		MAGIC_SET(x, LOGON1_MAGIC);
		x->of = of;
		l->n++;
	}
	x->state = LOGON1_ASKED;
	x->pid = pid_of(h);
	x->mid = h->mid;
	x->chained = chained;
	TAILQ_INSERT_TAIL(&l->list, x, entry);
	return x;
}

struct logon1 *
logon1_answered(const struct logon1s *l, const struct hdr1 *h)
{
	struct logon1 *x;

	TAILQ_FOREACH(x, &l->list, entry)
		if (x->state == LOGON1_ASKED && x->mid == h->mid && x->pid == pid_of(h))
			return x;
	return NULL;
}

void
logon1_more(struct logon1 *x, const struct hdr1 *h)
{
	x->state = LOGON1_MORE;
	x->uid = h->uid;
}

void
logon1s_cut(struct logon1s *l, const struct hdr1 *h)
{
	struct logon1 *x;

	while ((x = logon1_answered(l, h)) != NULL && x->chained)
		logon1_drop(l, x);
}
