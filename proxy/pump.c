/* pump.c: one direction of a connection: frames in, verdicts, bytes out; knows no sockets */
#include "config.h"

#include "proxy/pump.h"

#include <assert.h>

/* Least that is asked of the kernel at a time for a frame that is not whole. */
#define ROOM_MIN 4096
#define ROOM_MAX 65536

static enum pump_result
pump_flush(const struct pump_ops *ops, void *arg, const uint8_t *data, size_t from, size_t to)
{
	if (to > from && ops->send(arg, data + from, to - from) == -1)
		return PUMP_SEND;
	return PUMP_OK;
}

/* A held frame, or part of one, at data[0, n). *taken: whether it is done with. */
static enum pump_result
pump_held(struct pump *p, const struct pump_ops *ops, void *arg, const uint8_t *data, size_t n,
    bool *taken, enum close_reason *why)
{
	struct outcome o = ops->held(arg, data, n);

	*taken = true;
	switch (o.act) {
	case OUTCOME_PASS:
		return pump_flush(ops, arg, data, 0, n);
	case OUTCOME_REPLACE:
		return pump_flush(ops, arg, o.bytes, 0, o.len);
	case OUTCOME_DROP:
		return PUMP_OK;
	case OUTCOME_WAIT:
		p->waiting = true;
		*taken = false;
		return PUMP_OK;
	case OUTCOME_CLOSE:
		break;
	}
	*why = o.why;
	return PUMP_CLOSE;
}

/*
 * Goes through data[0, n). run .. pos is the stretch that was passed and not sent yet, so that
 * frames that came together leave together. *used: bytes done with; the rest is to be kept.
 */
static enum pump_result
pump_walk(struct pump *p, const struct pump_ops *ops, void *arg, const uint8_t *data, size_t n,
    size_t *used, enum close_reason *why)
{
	enum pump_result r;
	size_t pos = 0, run = 0;

	while (pos < n && !p->waiting) {
		struct verdict v;
		bool taken;

		if (p->pass > 0) {
			size_t step = p->pass < n - pos ? p->pass : n - pos;

			p->pass -= (uint32_t)step;
			pos += step;
			continue;
		}
		if (p->left > 0) {
			v = ops->part(arg, data + pos, n - pos, p->left);
			v.frame = p->left;
		} else {
			v = ops->head(arg, data + pos, n - pos);
		}
		switch (v.act) {
		case VERDICT_MORE:
			p->need = v.n;
			goto out;
		case VERDICT_PASS:
			p->pass = v.n;
			p->left = v.frame - v.n;
			break;
		case VERDICT_HOLD:
			if (n - pos < v.n) {
				p->need = v.n;
				goto out;
			}
			r = pump_flush(ops, arg, data, run, pos);
			run = pos;
			if (r == PUMP_OK)
				r = pump_held(p, ops, arg, data + pos, v.n, &taken, why);
			if (r != PUMP_OK)
				return r;
			if (taken) {
				pos += v.n;
				run = pos;
				p->left = v.frame - v.n;
			}
			break;
		case VERDICT_PARTS:
		case VERDICT_CLOSE:
			/* What was judged good before is delivered. */
			(void)pump_flush(ops, arg, data, run, pos);
			*why = v.why;
			return PUMP_CLOSE;
		}
	}
out:
	*used = pos;
	return pump_flush(ops, arg, data, run, pos);
}

/* Walks what is kept. It is taken out first, so that ops may look at the pump. */
static enum pump_result
pump_walk_kept(struct pump *p, const struct pump_ops *ops, void *arg, enum close_reason *why)
{
	struct buf b = p->in;
	enum pump_result r;
	size_t used = 0;

	p->in = (struct buf){ .mem = NULL };
	p->need = 0;
	r = pump_walk(p, ops, arg, buf_head(&b), buf_len(&b), &used, why);
	if (r == PUMP_OK)
		buf_drain(&b, used);
	else
		buf_fini(&b);
	p->in = b;
	return r;
}

enum pump_result
pump_feed(struct pump *p, const struct pump_ops *ops, void *arg, const uint8_t *data, size_t n,
    enum close_reason *why)
{
	enum pump_result r;
	size_t used = 0;

	if (buf_len(&p->in) > 0) {
		if (buf_add(&p->in, data, n) == -1)
			goto nomem;
		return buf_len(&p->in) < p->need ? PUMP_OK : pump_walk_kept(p, ops, arg, why);
	}
	r = pump_walk(p, ops, arg, data, n, &used, why);
	if (r == PUMP_OK && buf_add(&p->in, data + used, n - used) == -1)
		goto nomem;
	return r;
nomem:
	*why = CLOSE_NO_MEMORY;
	return PUMP_CLOSE;
}

enum pump_result
pump_resume(struct pump *p, const struct pump_ops *ops, void *arg, enum close_reason *why)
{
	p->waiting = false;
	return pump_walk_kept(p, ops, arg, why);
}

uint8_t *
pump_room(struct pump *p, size_t *n)
{
	size_t have = buf_len(&p->in);
	uint8_t *room;

	*n = 0;
	if (have == 0)
		return NULL;
	*n = p->need > have ? p->need - have : ROOM_MIN;
	/* What is claimed to come may never come. */
	if (*n > have)
		*n = have;
	if (*n < ROOM_MIN)
		*n = ROOM_MIN;
	if (*n > ROOM_MAX)
		*n = ROOM_MAX;
	room = buf_room(&p->in, *n);
	if (room == NULL)
		*n = SIZE_MAX;
	return room;
}

enum pump_result
pump_received(struct pump *p, const struct pump_ops *ops, void *arg, size_t n,
    enum close_reason *why)
{
	buf_filled(&p->in, n);
	return buf_len(&p->in) < p->need ? PUMP_OK : pump_walk_kept(p, ops, arg, why);
}

size_t
pump_owed(const struct pump *p)
{
	/* Nothing is kept then, and nothing waits: both begin with a head. */
	return p->pass;
}

void
pump_moved(struct pump *p, size_t n)
{
	assert(n <= p->pass);
	p->pass -= (uint32_t)n;
}

bool
pump_idle(const struct pump *p)
{
	return buf_len(&p->in) == 0 && p->pass == 0 && p->left == 0 && !p->waiting;
}

void
pump_fini(struct pump *p)
{
	buf_fini(&p->in);
}
