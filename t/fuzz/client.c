/* client.c: the client of a made-up conversation: what it asks, and how it takes the answers */
#include "config.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "inspect/track.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "t/fuzz/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t forbidden[4] = { 192, 168, 7, 7 };

#define FRAME_MAX (1u << 19)
#define PARTS_MAX 8

/* The parts of one chain of messages, as they are put together. */
struct chain {
	struct wr *w;
	size_t at[PARTS_MAX + 1];
	uint16_t user[PARTS_MAX];
	unsigned n;
	bool sealed, last_alone;
	/* It, or its answer, is longer than what is held: sealed, a query bears one of them. */
	bool wide, wide_answer;
	bool guarded;		/* plain, and an opaque session is in it: it must be held */
};

static void
put_bulk(struct world *w, struct chain *c, unsigned rarely)
{
	bool bulk = dice_one_in(w->dice, rarely) && !c->guarded &&
	    !(c->sealed && c->wide_answer);

	wr_zero(c->w, bulk ? 70000 + dice_byte(w->dice) * 8u : dice_byte(w->dice) & 63);
	c->wide |= bulk;
}

static void
put_query(struct world *w, struct wr *o)
{
	uint8_t x = dice_byte(w->dice);

	wr_u16(o, 57);
	wr_u16(o, 0);
	wr_u32(o, (x & 0x30) == 0x30 ? 0x00140204 : FSCTL_QUERY_NETWORK_INTERFACE_INFO);
	wr_u64(o, UINT64_MAX);
	wr_u64(o, UINT64_MAX);
	wr_u32(o, 120);
	wr_u32(o, 0);
	wr_u32(o, 0);
	wr_u32(o, 120);
	wr_u32(o, 0);
	wr_u32(o, (x & 3) == 3 ? 100 : 65536);
	wr_u32(o, SMB2_IOCTL_IS_FSCTL);
	wr_u32(o, 0);
	if ((x & 0x40) != 0)
		wr_zero(o, 24);
}

static void
put_session_setup(struct world *w, struct wr *o, bool bind)
{
	wr_u16(o, 25);
	wr_u8(o, bind);
	wr_u8(o, 1);
	wr_u32(o, 0);
	wr_u32(o, 0);
	wr_u16(o, 88);
	wr_u16(o, 5);
	wr_u64(o, 0);
	wr_bytes(o, "TOKEN", 5);
	wr_zero(o, dice_byte(w->dice) & 7);
}

static void
put_body(struct world *w, struct chain *c, uint16_t command, bool bind)
{
	struct wr *o = c->w;
	bool bulk;

	switch (command) {
	case SMB2_IOCTL:
		put_query(w, o);
		return;
	case SMB2_SESSION_SETUP:
		put_session_setup(w, o, bind);
		return;
	case SMB2_READ:
		wr_u16(o, 49);
		wr_u16(o, 0);
		bulk = dice_one_in(w->dice, 32) && !(c->sealed && c->wide);
		c->wide_answer |= bulk;
		wr_u32(o, bulk ? 80000 : 100);
		wr_zero(o, 41);
		return;
	case SMB2_WRITE:
		wr_u16(o, 49);
		wr_zero(o, 46);
		put_bulk(w, c, 64);
		return;
	default:
		wr_u16(o, 4);
		wr_u16(o, 0);
		/* What must be seen may be as long as what is held, and no longer. */
		wr_zero(o, command == SMB2_LOGOFF ? dice_byte(w->dice) : 0);
		if (command != SMB2_LOGOFF)
			put_bulk(w, c, 256);
	}
}

static bool
busy(const struct world *w, uint16_t user)
{
	for (unsigned i = 0; i < w->nasked; i++)
		if (w->asked[i].user == user && w->asked[i].answered == 0)
			return true;
	return false;
}

/*
 * May the session end now? What its other connection has on its way is answered as it should, if
 * it need not be opened or sealed any more.
 */
static bool
may_leave(const struct world *w, uint16_t user)
{
	const struct world *o = w->other;

	if (user == GUEST || busy(w, user))
		return false;
	if (o != NULL && (o->breaks != o->breaks_told || o->cancels != o->cancels_reached))
		return false;
	for (unsigned i = 0; o != NULL && user <= OPAQUE && i < o->nasked; i++) {
		const struct asked *a = &o->asked[i];

		if (a->answered == 0 && (a->bound == user || (a->user == user &&
		        (a->sealed || o->user[user].seals ||
		            (a->command == SMB2_IOCTL && o->alg == SMB2_SIGNING_AES_GMAC)))))
			return false;
	}
	return true;
}

/* Which command a message has; some are sent alone by a client that means well. */
static uint16_t
choose_command(struct world *w, const struct chain *c, uint16_t user)
{
	uint8_t x = dice_byte(w->dice);

	switch (x & 15) {
	case 0: case 1: case 2: case 3: case 4:
		return SMB2_IOCTL;
	case 5: case 6:
		return SMB2_READ;
	case 7: case 8:
		return SMB2_WRITE;
	case 9:
		return SMB2_CREATE;
	case 10:
		return SMB2_QUERY_INFO;
	case 11:
		return w->dirty || (c->n == 0 && may_leave(w, user)) ? SMB2_LOGOFF : SMB2_ECHO;
	case 12: case 13:
		return w->dirty || (c->n == 0 && !c->sealed) ? SMB2_SESSION_SETUP : SMB2_ECHO;
	case 14:
		return w->dirty && (x & 0x30) == 0x30 ? (x & 0x40) != 0 ? SMB2_NEGOTIATE : x >> 4
		                                      : SMB2_ECHO;
	default:
		return SMB2_ECHO;
	}
}

static uint16_t
choose_user(struct world *w)
{
	uint8_t x = dice_byte(w->dice);

	for (unsigned i = 0; i < USERS; i++) {
		uint16_t u = (uint16_t)((x + i) % USERS);

		if (w->user[u].there && !w->user[u].leaving && (w->dirty || !w->user[u].joining))
			return u;
	}
	return GUEST;
}

/* A session of the other connection that has no channel here, if there is one. */
static uint16_t
to_bind(const struct world *w)
{
	const struct world *o = w->other;

	for (uint16_t i = ALICE; o != NULL && i <= OPAQUE; i++)
		if (o->user[i].there && !o->user[i].leaving && !o->user[i].joining &&
		    !w->user[i].there && !w->user[i].joining && !w->user[i].asked)
			return i;
	return USERS;
}

/* A logon begins, or goes on, or a session of elsewhere is bound to. */
static uint64_t
logon(struct world *w, struct asked *a, uint16_t user, bool *bind)
{
	uint8_t x = dice_byte(w->dice);

	*bind = false;
	if ((x & 0x30) == 0x30 && may_leave(w, user) && client_may_renew(w, user)) {
		a->renews = true;
		world_set_leaving(w, user, true);
		return w->user[user].sid;
	}

	*bind = (x & 3) == 3;
	a->bind = *bind;
	a->user = USERS;
	if (*bind && (x & 8) != 0 && !w->t.conn.mediate.track.refuse_sealed)
		a->bound = to_bind(w);
	if (a->bound != USERS) {
		w->user[a->bound].asked = true;
		return w->other->user[a->bound].sid;
	}
	if (*bind)
		return 0x9999;
	if (w->t.conn.mediate.track.refuse_sealed) {
		/* Its success would end the connection: the node will let nobody in. */
		return 0;
	}
	for (unsigned i = LATER; i < USERS; i++)
		if (w->user[i].joining && !w->user[i].asked && (x & 4) != 0) {
			w->user[i].asked = true;
			return w->user[i].sid;
		}
	return 0;
}

static void
put_request(struct world *w, struct chain *c, uint16_t user)
{
	struct asked *a = &w->asked[w->nasked];
	struct hdr2 h = { .message_id = FIRST_MID + w->nasked++, .credits = 4, .credit_charge = 1,
		.tree_id = 7, .session_id = w->user[user].sid };
	bool bind = false, follows = c->n > 0 && c->user[c->n - 1] == user && !c->last_alone;

	h.command = choose_command(w, c, user);
	*a = (struct asked){ .command = h.command, .user = user, .sealed = c->sealed,
		.bound = USERS, .reached = a->reached };
	if (h.command == SMB2_SESSION_SETUP) {
		h.session_id = logon(w, a, user, &bind);
	} else if (w->dirty ? dice_one_in(w->dice, 8) : follows && dice_one_in(w->dice, 2)) {
		h.flags |= SMB2_FLAGS_RELATED_OPERATIONS;
		h.session_id = dice_one_in(w->dice, 2) ? UINT64_MAX : h.session_id;
	}
	a->logoff = h.command == SMB2_LOGOFF;
	w->user[user].leaving |= a->logoff && !w->dirty;
	w->user[user].unseen |= a->logoff && c->sealed && !w->user[user].known;
	if (w->other != NULL && user <= OPAQUE && w->user[user].leaving) {
		w->other->user[user].leaving = true;
		w->other->user[user].unseen = w->user[user].unseen;
	}
	c->user[c->n] = user;
	c->at[c->n++] = wr_len(c->w);
	hdr2_put(c->w, &h);
	put_body(w, c, h.command, bind);
	/* What is related to a request that may be refused would go down with it. */
	c->last_alone = h.command == SMB2_IOCTL || h.command == SMB2_SESSION_SETUP || a->logoff;
	a->after_expiry = w->user[user].told_expired;
	a->is_signed = !c->sealed && a->user < USERS && w->user[a->user].signs;
}

/* NextCommand, signatures and the seal. */
static void
chain_end(struct world *w, struct chain *c, size_t from, uint16_t sealer)
{
	struct wr *o = c->w;
	struct signkey k;

	c->at[c->n] = wr_len(o);
	for (unsigned i = 0; i + 1 < c->n; i++)
		wr_u32_at(o, c->at[i] + 20, (uint32_t)(c->at[i + 1] - c->at[i]));
	for (unsigned i = 0; i < c->n && wr_ok(o); i++) {
		struct asked *a = &w->asked[w->nasked - c->n + i];

		a->len = (uint32_t)(c->at[i + 1] - c->at[i]);
		a->hash = world_hash(o->base + c->at[i] + SMB2_HDR_LEN, a->len - SMB2_HDR_LEN);
		if (a->is_signed)
			(void)!sign_make(world_crypt(), &w->user[a->user].signing,
			    o->base + c->at[i], c->at[i + 1] - c->at[i]);
		if (a->bound != USERS) {
			k = world_session_key(w, &w->other->user[a->bound]);
			(void)!sign_make(world_crypt(), &k, o->base + c->at[i], a->len);
		}
	}
	for (unsigned i = 0; i < c->n && !c->sealed; i++)
		w->asked[w->nasked - c->n + i].at = (uint32_t)c->at[i];
	/* In one that must be held, or may have to be, nothing is longer than that can be. */
	if ((w->dirty || wr_len(o) - from < 60000 || (c->n == 1 && c->wide)) &&
	    world_compress(w, o, from))
		for (unsigned i = 0; i < c->n; i++)
			w->asked[w->nasked - c->n + i].at = 0;
	if (!c->sealed || !wr_ok(o))
		return;
	wr_zero(o, SMB2_TRANSFORM_LEN);
	memmove(o->base + from + SMB2_TRANSFORM_LEN, o->base + from,
	    wr_len(o) - from - SMB2_TRANSFORM_LEN);
	if (seal_make(world_crypt(), w->user[sealer].keys, SEAL_C2S, w->user[sealer].sid,
	        o->base + from, wr_len(o) - from - SMB2_TRANSFORM_LEN) == -1)
		abort();
}

static bool
is_opaque(const struct world *w, uint16_t user)
{
	return w->user[user].keys != NULL && !w->user[user].known;
}

/* A chain of messages, sealed or plain. */
static void
put_chain(struct world *w, struct wr *o)
{
	struct chain c = { .w = o };
	size_t from = wr_len(o);
	uint16_t user = choose_user(w), more;
	unsigned n = dice_one_in(w->dice, 2) ? 1 + (dice_byte(w->dice) & (PARTS_MAX - 1)) : 1;
	bool can = w->user[user].keys != NULL && w->set->cipher != 0;

	c.sealed = can && (w->dirty ? dice_one_in(w->dice, 2)
	                            : w->user[user].seals || dice_one_in(w->dice, 8));
	for (unsigned i = 0; i < n && w->nasked < ASKED_MAX; i++) {
		if (i > 0)
			wr_pad(o, c.at[c.n - 1], 8);
		more = i > 0 && dice_one_in(w->dice, 4) ? choose_user(w) : user;
		if ((c.sealed || w->user[more].seals ||
		        (c.wide && (is_opaque(w, more) || is_opaque(w, user)))) &&
		    !w->dirty)
			more = user;
		c.guarded |= more != user && (is_opaque(w, more) || is_opaque(w, user));
		put_request(w, &c, more);
		/* A logon, and the end of a session, are alone. */
		if (!w->dirty && c.n == 1 && (w->asked[w->nasked - 1].logoff ||
		        w->asked[w->nasked - 1].command == SMB2_SESSION_SETUP))
			break;
	}
	chain_end(w, &c, from, user);
}

/*
 * Bytes are changed on the way, now and then the very ones that say how a frame is to be read, or
 * what is in it behind another chain; last: where that begins, 0: there is none.
 */
static void
spoil(struct world *w, struct wr *o, size_t last)
{
	static const uint8_t telling[] = { 4, 12, 16, 20, 21, 22, 24, 36, 37, 40, 44, 64, 66, 68 };
	static const uint8_t late[] = { 0, 4, 16, 20, 24, 36, 40, 44 };
	size_t n = wr_len(o) - NBSS_HDR_LEN;

	for (unsigned i = dice_byte(w->dice) & 3; i > 0 && n > 0; i--) {
		size_t at = dice_byte(w->dice);

		if (at >= 0xc0 && last > 0)
			at = last + late[at % sizeof(late)];
		else
			at = at >= 0x80 ? telling[at % sizeof(telling)]
			                : (at << 8 | dice_byte(w->dice)) % n;
		if (at < n)
			o->base[NBSS_HDR_LEN + at] ^= dice_byte(w->dice);
	}
}

/* Of the requests from the first on, which have lost their signature. */
static void
note_forged(struct world *w, const uint8_t *frame, unsigned first)
{
	for (unsigned i = first; i < w->nasked; i++) {
		struct asked *a = &w->asked[i];

		a->forged = a->at != 0 && a->is_signed && !sign_good(world_crypt(),
		    &w->user[a->user].signing, frame + a->at, a->len);
	}
}

void
client_asks(struct world *w)
{
	static uint8_t frame[FRAME_MAX * 2];
	struct wr o = wr_init(frame, sizeof(frame));
	size_t from = NBSS_HDR_LEN;
	unsigned first = w->nasked;
	unsigned chains = w->dirty && dice_one_in(w->dice, 4) ? 2 + (dice_byte(w->dice) & 1) : 1;

	wr_zero(&o, NBSS_HDR_LEN);
	for (unsigned i = 0; i < chains && w->nasked < ASKED_MAX; i++) {
		from = wr_len(&o);
		put_chain(w, &o);
		/* Another chain behind a plain one is read if NextCommand leads there. */
		if (i + 1 < chains && dice_one_in(w->dice, 2) && wr_ok(&o))
			wr_u32_at(&o, from + 20, (uint32_t)(wr_len(&o) - from));
	}
	if (!wr_ok(&o) || wr_len(&o) == NBSS_HDR_LEN)
		return;
	if (w->dirty && dice_one_in(w->dice, 2)) {
		spoil(w, &o, from - NBSS_HDR_LEN);
		note_forged(w, frame, first);
	}
	nbss_put(frame, (uint32_t)(wr_len(&o) - NBSS_HDR_LEN));
	if (w->tells)
		fprintf(stderr, "client: %zu bytes, up to MessageId %u\n", wr_len(&o),
		    FIRST_MID + w->nasked - 1);
	if (buf_add(&w->in[C2S], frame, wr_len(&o)) == -1)
		abort();
}

/* A session that is over has none, though they are kept while its last answers are on their way. */
static const struct smbkeys *
gate_keys(const struct track *t, uint64_t sid)
{
	const struct channel *c = track_channel(t, sid);

	return c == NULL || channel_over(c) ? NULL : track_keys(t, sid);
}

/* Is the node's own list what the client is to get, for want of another way? */
static bool
open_list(const struct world *w, const struct asked *a, const struct read_msg *m)
{
	const struct track *t = &w->t.conn.mediate.track;
	const struct policy *p = w->set->env->policy;
	const struct user *u = a->user < USERS ? &w->user[a->user] : NULL;
	bool liar;

	if (strstr(w->set->policy, "mode = pass") != NULL)
		return true;
	if (u == NULL)
		return false;
	/* Whoever has lied about his keys has an opaque session, and can have its list openly. */
	if (a->sealed && gate_keys(t, u->sid) == NULL)
		return true;
	liar = w->dirty && (m->sealed_by == w->user[ALICE].sid || m->sealed_by == w->user[BOB].sid);
	if (m->sealed_by != 0 && (a->sealed || m->sealed_by == u->sid || liar))
		return gate_keys(t, m->sealed_by) == NULL;
	/* Of two opaque ones one may be answered under the other's seal; spoilt, a guest too. */
	if (m->sealed_by != 0)
		return (u->keys != NULL || w->dirty) && gate_keys(t, u->sid) == NULL &&
		    gate_keys(t, m->sealed_by) == NULL;
	if (!a->is_signed)
		return false;
	return gate_keys(t, u->sid) == NULL || (w->set->signing == SMB2_SIGNING_AES_GMAC &&
	    w->set->cipher == 0 && p->gmac == POL_GMAC_PASS);
}

/* As a client takes it: by the signature, where it has a key. */
static bool
believed(struct world *w, const struct asked *a, const struct read_msg *m)
{
	const struct user *u = a->user < USERS ? &w->user[a->user] : NULL;

	if (m->sealed_by != 0 || u == NULL)
		return true;
	if ((m->flags & SMB2_FLAGS_SIGNED) == 0)
		return !a->is_signed;
	return u->keys != NULL && sign_good(world_crypt(), &u->signing, m->p, m->n);
}

static bool
is_authentic(struct world *w, const struct asked *a, const struct read_msg *m)
{
	/* Sealed is whatever a node says of a session that is. */
	return m->sealed_by == 0 && (m->flags & SMB2_FLAGS_SIGNED) != 0 && a->user < USERS &&
	    a->command == SMB2_IOCTL && m->status == STATUS_SUCCESS && believed(w, a, m);
}

/* The session has ended on its other connection: nobody is left who would sign it. */
static bool
ended_elsewhere(const struct world *w, const struct asked *a, const struct read_msg *m)
{
	return w->other != NULL && a->user < USERS && !w->user[a->user].there &&
	    m->status >> 30 == 3 && (m->flags & SMB2_FLAGS_SIGNED) == 0;
}

/* Whether the session lived was not known when it was asked: nobody could sign it. */
static bool
in_doubt(const struct world *w, const struct asked *a, const struct read_msg *m)
{
	return a->query && a->user < USERS && w->user[a->user].doubted &&
	    m->status == STATUS_NOT_SUPPORTED && w->alg == SMB2_SIGNING_AES_GMAC;
}

/* The node would not have told it, and has said so before: nobody else knows. */
static void
compare_expired(const struct world *w, const struct asked *a, const struct read_msg *m)
{
	if (a->after_expiry && a->command == SMB2_IOCTL && a->query && a->is_signed &&
	    w->other == NULL && m->status >> 30 != 3)
		world_wrong(w, "an expired session is told a list", m->mid);
}

/* What is told of a bind, if it is signed, is signed by the session, or by the new channel. */
static void
compare_bind(struct world *w, const struct asked *a, const struct read_msg *m)
{
	struct signkey k;

	if (a->bound == USERS)
		return;
	k = m->status == STATUS_SUCCESS ? w->user[a->bound].signing
	                                : world_session_key(w, &w->other->user[a->bound]);
	if ((m->flags & SMB2_FLAGS_SIGNED) != 0 ? !sign_good(world_crypt(), &k, m->p, m->n)
	                                        : m->status == STATUS_SUCCESS)
		world_wrong(w, "an answer to a bind with a wrong signature", m->mid);
	if (w->forbidden && (m->flags & SMB2_FLAGS_SIGNED) == 0 &&
	    w->alg != SMB2_SIGNING_AES_GMAC && w->other->user[a->bound].known &&
	    world_alive(w, m->sid))
		world_wrong(w, "a refused bind is told without a signature", m->mid);
}

/* A conversation without lies is the same as without the gate, but for lists and refusals. */
static void
compare(struct world *w, struct asked *a, const struct read_msg *m)
{
	if (m->command != a->command)
		world_wrong(w, "an answer with another command", m->mid);
	if (a->answered++ > 0)
		world_wrong(w, "a second answer", m->mid);
	if (a->bind)
		compare_bind(w, a, m);
	else if (!believed(w, a, m) && !ended_elsewhere(w, a, m) && !in_doubt(w, a, m))
		world_wrong(w, "an answer without the signature that was asked for", m->mid);
	if (a->sealed && m->sealed_by == 0 && !ended_elsewhere(w, a, m))
		world_wrong(w, "a plain answer to a sealed request", m->mid);
	if (a->bind && w->forbidden) {
		if (m->status != STATUS_REQUEST_NOT_ACCEPTED)
			world_wrong(w, "a refused bind is told something else", m->mid);
		return;
	}
	compare_expired(w, a, m);
	if (a->query)
		return;
	if (!a->has_answer)
		world_wrong(w, "an answer that the node did not give", m->mid);
	if (a->answer_len != m->n || a->answer_status != m->status ||
	    a->answer_hash != world_hash(m->p + SMB2_HDR_LEN, m->n - SMB2_HDR_LEN))
		world_wrong(w, "an answer is not what the node gave", m->mid);
}

/* What follows out of an answer, for the client. */
static void
take_in(struct world *w, const struct asked *a, const struct read_msg *m)
{
	if (a->bound != USERS)
		w->user[a->bound].joining = w->user[a->bound].asked = false;
	if (a->renews)
		client_renewed(w, a->user, m->status);
	if (m->status == SESSION_EXPIRED && a->user < USERS)
		w->user[a->user].doubted = true;
	for (unsigned i = LATER; a->command == SMB2_SESSION_SETUP && i < USERS; i++) {
		struct user *u = &w->user[i];

		if (!u->joining || u->sid != m->sid || m->status == STATUS_MORE_PROCESSING_REQUIRED)
			continue;
		u->joining = false;
		u->there = m->status == STATUS_SUCCESS;
	}
	if (m->command == SMB2_LOGOFF && m->status == STATUS_SUCCESS && a->user < USERS)
		w->user[a->user].there = false;
}

void
client_reads(struct world *w, uint8_t *frame, size_t len)
{
	struct read_msg m[ASKED_MAX];
	int n = world_read(w, S2C, frame, len, m, ASKED_MAX);

	if (n == -1 && !w->dirty)
		world_wrong(w, "the client cannot read a frame", 0);
	for (int i = 0; i < n; i++) {
		struct asked *a = world_asked(w, m[i].mid);

		if (client_takes_break(w, &m[i]))
			continue;
		if (w->tells)
			fprintf(stderr, "  client gets %u, MessageId %" PRIu64 ", status %08x%s\n",
			    m[i].command, m[i].mid, m[i].status, m[i].sealed_by ? ", sealed" : "");
		if (a == NULL && !w->dirty)
			world_wrong(w, "an answer to nothing", m[i].mid);
		if (a == NULL || (m[i].status == STATUS_PENDING &&
		        (m[i].flags & SMB2_FLAGS_ASYNC_COMMAND) != 0))
			continue;
		/* Of two with one number nobody can tell which is answered. */
		if (a->query && !a->twice && !a->taken && m[i].status >> 30 != 3 &&
		    reader_names(&m[i], forbidden) && believed(w, a, &m[i]) &&
		    !open_list(w, a, &m[i]))
			world_wrong(w, "the client is told a forbidden address", m[i].mid);
		if ((a->forged || (a->spoilt && a->sent == 1 && !a->replaced)) &&
		    is_authentic(w, a, &m[i]))
			world_wrong(w, "what was forged on the way has become authentic", m[i].mid);
		if (!w->dirty)
			compare(w, a, &m[i]);
		take_in(w, a, &m[i]);
		/* What is sealed, compressed, or not first in its frame may have passed unseen. */
		if (m[i].status == SESSION_EXPIRED && a->user < USERS && m[i].sealed_by == 0 &&
		    i == 0 && !w->compress)
			w->user[a->user].told_expired = true;
		a->taken |= believed(w, a, &m[i]) && (!a->sealed || m[i].sealed_by != 0);
	}
}
