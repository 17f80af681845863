/* node.c: the node of a made-up conversation: it reads and answers after smbd's manner */
#include "config.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "inspect/track.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/hdr2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "t/fuzz/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_SESSION_DELETED 0xc0000203u
#define REQUEST_NOT_ACCEPTED 0xc00000d0u
#define INVALID_PARAMETER 0xc000000du
#define ACCESS_DENIED 0xc0000022u

static uint16_t
user_index(struct world *w, uint64_t sid)
{
	const struct user *u = world_user(w, sid);

	return u == NULL ? USERS : (uint16_t)(u - w->user);
}

/* The session of the other connection that is bound to; USERS: there is none. */
static uint16_t
bound_to(const struct world *w, uint64_t sid)
{
	for (uint16_t i = ALICE; w->other != NULL && i <= OPAQUE; i++)
		if (w->other->user[i].there && w->other->user[i].sid == sid && !w->user[i].there)
			return i;
	return USERS;
}

/* A bind is signed by the session, [MS-SMB2] 3.3.5.5.2. */
static uint32_t
judge_bind(struct world *w, const struct read_msg *m, uint64_t sid)
{
	const uint16_t i = bound_to(w, sid);
	struct signkey k;

	if (i == USERS)
		return world_user(w, sid) != NULL ? REQUEST_NOT_ACCEPTED : USER_SESSION_DELETED;
	k = world_session_key(w, &w->other->user[i]);
	return (m->flags & SMB2_FLAGS_SIGNED) != 0 && sign_good(world_crypt(), &k, m->p, m->n)
	    ? 0
	    : ACCESS_DENIED;
}

/* What smbd would say before it looks at the command. */
static uint32_t
judge(struct world *w, const struct read_msg *m, uint64_t sid)
{
	const struct user *u = world_user(w, sid);
	bool is_signed = (m->flags & SMB2_FLAGS_SIGNED) != 0 && m->sealed_by == 0;

	if (reader_is_bind(m) && w->other != NULL)
		return judge_bind(w, m, sid);
	if (m->sealed_by != 0 && u != NULL && u->sid != m->sealed_by)
		return ACCESS_DENIED;
	if ((m->flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0 && u == NULL)
		return INVALID_PARAMETER;
	if (is_signed && u == NULL)
		return USER_SESSION_DELETED;
	if (is_signed && (u->keys == NULL ||
	        !sign_good(world_crypt(), &u->signing, m->p, m->n)))
		return ACCESS_DENIED;
	if (u != NULL && u->must_sign && m->sealed_by == 0 && !is_signed &&
	    m->command != SMB2_SESSION_SETUP)
		return ACCESS_DENIED;
	/* smbd answers a query, unless it is signed. */
	if (u != NULL && u->expired && m->command != SMB2_ECHO && m->command != SMB2_LOGOFF &&
	    m->command != SMB2_SESSION_SETUP && (is_signed ||
	        reader_ctl_code(m) != FSCTL_QUERY_NETWORK_INTERFACE_INFO))
		return SESSION_EXPIRED;
	if (u == NULL && m->command != SMB2_ECHO && m->command != SMB2_SESSION_SETUP)
		return USER_SESSION_DELETED;
	return 0;
}

/* The request as it came, against what the client sent. */
static void
arrived(struct world *w, struct asked *a, const struct read_msg *m, uint16_t user)
{
	bool known = m->sealed_by == 0 ||
	    track_keys(&w->t.conn.mediate.track, m->sealed_by) != NULL;

	a->query = a->command == SMB2_IOCTL;
	a->replaced = m->command != a->command || (a->bind && !reader_is_bind(m));
	if (reader_is_bind(m) && w->forbidden && known)
		world_wrong(w, "a bind reached the node", m->mid);
	if (w->dirty) {
		/* Its own view: what was broken on the way is what the node goes by. */
		a->twice = a->reached++ > 0;
		/* A query that the gate has not seen as one: no node would believe it. */
		if (a->len != m->n ||
		    a->hash != world_hash(m->p + SMB2_HDR_LEN, m->n - SMB2_HDR_LEN))
			a->twice = true;
		a->query = true;
		a->user = user;
		a->is_signed = (m->flags & SMB2_FLAGS_SIGNED) != 0;
		a->sealed = m->sealed_by != 0;
		return;
	}
	if (m->mid != FIRST_MID + w->nreached++)
		world_wrong(w, "requests were dropped, inserted or mixed up", m->mid);
	if (a->reached++ > 0)
		world_wrong(w, "a request reached the node twice", m->mid);
	if (a->replaced && !a->query && !a->bind)
		world_wrong(w, "a request was replaced that nobody forbids", m->mid);
	/* One that asks for no output at all is refused by the node itself. */
	if (a->query && m->n >= SMB2_HDR_LEN + 48 && reader_u32(m->p + SMB2_HDR_LEN + 44) == 0)
		return;
	if (!a->replaced && (a->len != m->n ||
	        a->hash != world_hash(m->p + SMB2_HDR_LEN, m->n - SMB2_HDR_LEN)))
		world_wrong(w, "a request is not what the client sent", m->mid);
}

static void
remember(struct world *w, const struct read_msg *m, uint64_t sid, uint32_t error)
{
	struct todo *t;
	const struct user *u = world_user(w, sid);

	if (w->ntodo == ASKED_MAX)
		return;
	t = &w->todo[w->ntodo++];
	*t = (struct todo){ .m = *m, .sid = sid, .user = user_index(w, sid), .group = w->group,
		.error = error, .sealer = USERS };
	if (m->sealed_by != 0)
		t->sealer = user_index(w, m->sealed_by);
	else if (u != NULL && u->seals && u->keys != NULL && m->command != SMB2_SESSION_SETUP)
		t->sealer = t->user;
	if (m->command == SMB2_READ && m->n >= SMB2_HDR_LEN + 8)
		t->more = reader_u32(m->p + SMB2_HDR_LEN + 4) & 0x1ffff;
	if (m->command == SMB2_IOCTL && m->n >= SMB2_HDR_LEN + 48)
		t->more = reader_u32(m->p + SMB2_HDR_LEN + 44);
	t->query = reader_ctl_code(m) == FSCTL_QUERY_NETWORK_INTERFACE_INFO;
	t->bind = reader_is_bind(m) && w->other != NULL;
	t->m.p = NULL;
}

void
node_reads(struct world *w, uint8_t *frame, size_t len)
{
	struct read_msg m[ASKED_MAX];
	uint64_t last = UINT64_MAX;
	int n = world_read(w, C2S, frame, len, m, ASKED_MAX);

	if (n == -1 && !w->dirty)
		world_wrong(w, "the node cannot read a frame", 0);
	w->gone |= n == -1;
	w->group++;
	for (int i = 0; i < n && !w->gone; i++) {
		bool related = (m[i].flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0;
		uint64_t sid = related ? last : m[i].sid;
		struct asked *a;

		if (w->tells)
			fprintf(stderr, "  node is asked %u, MessageId %" PRIu64 " of %016" PRIx64
			    "%s\n", m[i].command, m[i].mid, sid, m[i].sealed_by ? ", sealed" : "");
		if (node_takes_cancel(w, &m[i]))
			continue;
		last = world_user(w, sid) != NULL ? sid : 0;
		/* Once a dialect is chosen, NEGOTIATE ends the connection. */
		w->gone |= m[i].command == SMB2_NEGOTIATE;
		if (w->gone)
			break;
		a = world_asked(w, m[i].mid);
		if (a != NULL)
			arrived(w, a, &m[i], user_index(w, sid));
		else if (!w->dirty)
			world_wrong(w, "a request that nobody sent", m[i].mid);
		else if (m[i].mid - FIRST_MID < ASKED_MAX)
			/* Its number is that of a request that the client has yet to send. */
			w->asked[m[i].mid - FIRST_MID].reached++;
		remember(w, &m[i], sid, judge(w, &m[i], sid));
	}
}

/* A list with one address that is forbidden, and one that is not. */
static void
put_list(struct wr *o, const struct hdr2 *h)
{
	struct ifinfo e[2] = { { .ifindex = 1, .link_speed = 1000 },
		{ .ifindex = 2, .link_speed = 1000 } };
	const struct ioctl2_resp r = { .ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO,
		.output_len = 2 * IFINFO_ENTRY_LEN };

	if (addr_parse(&e[0].addr, "192.168.7.7") == -1 || addr_parse(&e[1].addr, "10.0.0.7") == -1)
		abort();
	ioctl2_resp_put(o, h, &r);
	ifinfo_put(o, e, 2);
}

/* Its answer is signed with the new channel's key: t->user is it. */
static void
let_bind(struct world *w, struct todo *t, uint32_t *status)
{
	const uint16_t i = bound_to(w, t->sid);

	if (i == USERS || dice_one_in(w->dice, 8) || w->t.conn.mediate.track.refuse_sealed)
		return;
	w->user[i] = w->other->user[i];
	w->user[i].signing = w->set->channel[i];
	w->user[i].signing.alg = w->alg;
	w->user[i].known = false;
	w->user[i].joining = w->user[i].asked = true;
	*status = STATUS_SUCCESS;
	t->user = i;
}

/* A logon begins, or ends; a bind is let in, or is not. */
static uint64_t
let_in(struct world *w, struct todo *t, uint32_t *status)
{
	uint8_t x = dice_byte(w->dice);

	*status = 0xc000006d;
	if (t->bind) {
		let_bind(w, t, status);
		return t->sid;
	}
	if (t->sid == 0 && !w->t.conn.mediate.track.refuse_sealed) {
		for (unsigned i = LATER; i < USERS; i++) {
			struct user *u = &w->user[i];

			if (u->there || u->joining || (x & 7) == 7)
				continue;
			*u = (struct user){ .sid = FIRST_SID + 0x100 + i + (x & 0xf0u) * 16u,
				.keys = w->set->keys[2], .joining = true, .signs = (x & 8) != 0 };
			u->signing = world_session_key(w, u);
			/* The other connection has numbers of its own. */
			if (w->other != NULL && w->other < w)
				u->sid += 0x8000;
			*status = STATUS_MORE_PROCESSING_REQUIRED;
			return u->sid;
		}
		return 0;
	}
	if (t->user < USERS && !w->user[t->user].joining && !w->dirty) {
		*status = node_renews(w, t->user);
		return t->sid;
	}
	for (unsigned i = LATER; i < USERS; i++)
		if (w->user[i].joining && w->user[i].sid == t->sid) {
			*status = (x & 7) == 7 ? *status : STATUS_SUCCESS;
			w->user[i].there = *status == STATUS_SUCCESS;
		}
	return t->sid;
}

static void
put_answer(struct world *w, struct wr *o, struct todo *t)
{
	struct hdr2 h = { .command = t->m.command, .message_id = t->m.mid, .credits = 3,
		.credit_charge = 1, .tree_id = 7, .session_id = t->sid, .status = t->error,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR |
		    (t->m.flags & SMB2_FLAGS_RELATED_OPERATIONS) };
	uint8_t x = dice_byte(w->dice);

	if (t->error == 0 && t->m.command == SMB2_SESSION_SETUP)
		h.session_id = let_in(w, t, &h.status);
	else if (t->error == 0 && t->query)
		h.status = t->more < 2 * IFINFO_ENTRY_LEN ? STATUS_BUFFER_TOO_SMALL
		    : (x & 31) == 31 ? STATUS_NOT_SUPPORTED
		    : (x & 31) == 30 ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
	/* A session has one end, on all connections. */
	if (h.status == 0 && t->m.command == SMB2_LOGOFF && w->other != NULL && t->user <= OPAQUE &&
	    w->other->user[t->user].sid == t->sid)
		w->other->user[t->user].there = false;
	if (h.status >> 30 == 3 && h.status != STATUS_MORE_PROCESSING_REQUIRED) {
		err2_put(o, &h);
		return;
	}
	if (t->query) {
		put_list(o, &h);
		return;
	}
	hdr2_put(o, &h);
	if (t->m.command == SMB2_SESSION_SETUP) {
		wr_u16(o, 9);
		wr_u16(o, 0);
		wr_u16(o, 72);
		wr_u16(o, 0);
		return;
	}
	wr_u16(o, 4);
	wr_u16(o, x);
	wr_zero(o, t->m.command == SMB2_READ ? t->more : x & 31);
}

/* "The real answer follows": never signed, and alone in its frame. */
static void
put_interim(struct world *w, struct wr *o, struct todo *t)
{
	const struct hdr2 h = { .command = t->m.command, .message_id = t->m.mid, .credits = 1,
		.credit_charge = 1, .async_id = 5, .session_id = t->sid, .status = STATUS_PENDING,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR | SMB2_FLAGS_ASYNC_COMMAND };

	(void)w;
	t->interim = true;
	err2_put(o, &h);
}

static void
answer_noted(struct world *w, const struct todo *t, const uint8_t *p, size_t n)
{
	struct asked *a = world_asked(w, t->m.mid);

	if (a != NULL)
		a->sent++;
	if (a == NULL || a->replaced)
		return;
	a->has_answer = true;
	a->answer_len = (uint32_t)n;
	a->answer_hash = world_hash(p + SMB2_HDR_LEN, n - SMB2_HDR_LEN);
	a->answer_status = reader_u32(p + 8);
}

/* Where in the frame a byte was changed on the way, 0: none was, or not of what all can see. */
static size_t
send_off(struct world *w, struct wr *o, uint16_t sealer)
{
	size_t n, spoilt = 0;
	bool packed = false;

	if (!wr_ok(o))
		abort();
	/* As long as what is held can be, unless it is one message that nobody holds. */
	if (w->dirty || wr_len(o) < 60000)
		packed = world_compress(w, o, NBSS_HDR_LEN);
	n = wr_len(o) - NBSS_HDR_LEN;
	if (sealer != USERS) {
		wr_zero(o, SMB2_TRANSFORM_LEN);
		memmove(o->base + NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, o->base + NBSS_HDR_LEN, n);
		if (seal_make(world_crypt(), w->user[sealer].keys, SEAL_S2C, w->user[sealer].sid,
		        o->base + NBSS_HDR_LEN, n) == -1)
			abort();
		n += SMB2_TRANSFORM_LEN;
	}
	if (w->dirty && dice_one_in(w->dice, 8)) {
		uint8_t change;

		spoilt = NBSS_HDR_LEN + (size_t)(dice_byte(w->dice) << 2) % n;
		change = dice_byte(w->dice);
		o->base[spoilt] ^= change;
		if (change == 0 || packed || sealer != USERS)
			spoilt = 0;
	}
	nbss_put(o->base, (uint32_t)n);
	if (w->tells)
		fprintf(stderr, "node: %zu bytes\n", n);
	if (buf_add(&w->in[S2C], o->base, NBSS_HDR_LEN + n) == -1)
		abort();
	return spoilt;
}

/* Takes the todo'th request out. */
static struct todo
done_with(struct world *w, unsigned i)
{
	struct todo t = w->todo[i];

	memmove(&w->todo[i], &w->todo[i + 1], (--w->ntodo - i) * sizeof(t));
	return t;
}

/* Answers to what came in one frame go in one, but for those that take their time. */
void
node_answers(struct world *w)
{
	static uint8_t frame[ASKED_MAX * 0x21000];
	struct wr o = wr_init(frame, sizeof(frame));
	unsigned i = w->ntodo == 0 ? 0 : dice_byte(w->dice) % w->ntodo, group, n = 0;
	size_t at[ASKED_MAX + 1], spoilt;
	struct todo t[ASKED_MAX];
	uint16_t sealer = USERS;

	if (w->ntodo == 0)
		return;
	wr_zero(&o, NBSS_HDR_LEN);
	group = w->todo[i].group;
	while (i > 0 && w->todo[i - 1].group == group)
		i--;
	if (w->todo[i].query && !w->todo[i].interim && w->todo[i].error == 0 &&
	    dice_one_in(w->dice, 4)) {
		put_interim(w, &o, &w->todo[i]);
		(void)send_off(w, &o, w->todo[i].sealer);
		return;
	}
	while (i < w->ntodo && w->todo[i].group == group && (n == 0 || !dice_one_in(w->dice, 16))) {
		t[n] = done_with(w, i);
		if (n > 0)
			wr_pad(&o, at[n - 1], 8);
		at[n] = wr_len(&o);
		put_answer(w, &o, &t[n]);
		if (sealer == USERS)
			sealer = t[n].sealer;
		n++;
	}
	at[n] = wr_len(&o);
	for (unsigned k = 0; k < n && wr_ok(&o); k++) {
		const struct user *u = t[k].user < USERS ? &w->user[t[k].user] : NULL;

		if (k + 1 < n)
			wr_u32_at(&o, at[k] + 20, (uint32_t)(at[k + 1] - at[k]));
		answer_noted(w, &t[k], o.base + at[k], at[k + 1] - at[k]);
		if (u != NULL && u->keys != NULL && sealer == USERS &&
		    ((t[k].m.flags & SMB2_FLAGS_SIGNED) != 0 || u->must_sign))
			(void)!sign_make(world_crypt(), &u->signing, o.base + at[k],
			    at[k + 1] - at[k]);
	}
	spoilt = send_off(w, &o, sealer);
	for (unsigned k = 0; k < n && spoilt != 0; k++)
		if (spoilt >= at[k] && spoilt < at[k + 1] && world_asked(w, t[k].m.mid) != NULL)
			world_asked(w, t[k].m.mid)->spoilt = true;
}
