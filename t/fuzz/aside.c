/* aside.c: what is said beside questions and answers: CANCEL, breaks, expiry, logons again */
#include "config.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"
#include "t/fuzz/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANCELLED 0xc0000120u
#define LOGON_FAILURE 0xc000006du
#define ACCESS_DENIED 0xc0000022u

/* One message, header and a body of 24 bytes, as u would have it; NULL: plain. */
static void
send_alone(struct world *w, enum dir dir, const struct hdr2 *h, const struct user *u)
{
	uint8_t frame[256];
	struct wr o = wr_init(frame, sizeof(frame));
	size_t n;

	wr_zero(&o, NBSS_HDR_LEN + (u != NULL && u->seals ? SMB2_TRANSFORM_LEN : 0));
	n = wr_len(&o);
	hdr2_put(&o, h);
	wr_u16(&o, h->command == SMB2_CANCEL ? 4 : 24);
	wr_zero(&o, h->command == SMB2_CANCEL ? 2 : 22);
	if (!wr_ok(&o))
		abort();
	n = wr_len(&o) - n;
	if (u != NULL && u->seals && seal_make(world_crypt(), u->keys,
	        dir == C2S ? SEAL_C2S : SEAL_S2C, u->sid, frame + NBSS_HDR_LEN, n) == -1)
		abort();
	if (u != NULL && !u->seals && u->signs && dir == C2S)
		(void)!sign_make(world_crypt(), &u->signing, frame + NBSS_HDR_LEN, n);
	nbss_put(frame, (uint32_t)(wr_len(&o) - NBSS_HDR_LEN));
	if (w->tells)
		fprintf(stderr, "%s: aside, command %u\n", dir == C2S ? "client" : "node",
		    h->command);
	if (buf_add(&w->in[dir], frame, wr_len(&o)) == -1)
		abort();
}

static const struct user *
some_user(struct world *w)
{
	const struct user *u = &w->user[dice_byte(w->dice) % USERS];

	return u->there && !u->joining && !u->leaving ? u : NULL;
}

/* Of a request that has no answer yet, [MS-SMB2] 3.2.4.24: it has the number of that. */
bool
client_cancels(struct world *w)
{
	const struct asked *a;
	const struct user *u;
	struct hdr2 h = { .command = SMB2_CANCEL };
	unsigned i;

	if (w->nasked == 0 || w->dirty)
		return false;
	i = dice_byte(w->dice) % w->nasked;
	a = &w->asked[i];
	if (a->answered > 0 || a->user >= USERS || a->logoff || a->renews)
		return false;
	u = &w->user[a->user];
	if (!u->there || u->leaving)
		return false;
	h.message_id = FIRST_MID + i;
	h.session_id = u->sid;
	w->cancels++;
	send_alone(w, C2S, &h, u);
	return true;
}

bool
node_takes_cancel(struct world *w, const struct read_msg *m)
{
	if (m->command != SMB2_CANCEL || w->dirty)
		return false;
	w->cancels_reached++;
	for (unsigned i = 0; i < w->ntodo; i++)
		if (w->todo[i].m.mid == m->mid && w->todo[i].error == 0 && dice_one_in(w->dice, 2))
			w->todo[i].error = CANCELLED;
	return true;
}

/* An oplock break, [MS-SMB2] 2.2.23.1: of no request, never signed. */
bool
node_breaks(struct world *w)
{
	const struct hdr2 h = { .command = SMB2_OPLOCK_BREAK, .message_id = UINT64_MAX,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR };
	const struct user *u = some_user(w);

	if (u == NULL || w->dirty)
		return false;
	w->breaks++;
	send_alone(w, S2C, &h, u);
	return true;
}

bool
client_takes_break(struct world *w, const struct read_msg *m)
{
	if (m->mid != UINT64_MAX || m->command != SMB2_OPLOCK_BREAK || w->dirty)
		return false;
	w->breaks_told++;
	if (m->n != SMB2_HDR_LEN + 24 || (m->flags & SMB2_FLAGS_SIGNED) != 0)
		world_wrong(w, "a break is not what the node sent", m->mid);
	return true;
}

/* The session's number on both connections. */
static void
on_both(struct world *w, uint16_t user, void (*f)(struct user *u, bool on), bool on)
{
	f(&w->user[user], on);
	if (w->other != NULL && user <= OPAQUE && w->other->user[user].sid == w->user[user].sid)
		f(&w->other->user[user], on);
}

static void
set_expired(struct user *u, bool on)
{
	u->expired = on;
}

static void
set_leaving(struct user *u, bool on)
{
	u->leaving = on;
	u->doubted = true;
}

static void
set_there(struct user *u, bool on)
{
	u->there = on;
}

void
node_expires(struct world *w)
{
	const struct user *u = some_user(w);

	if (u != NULL && u->keys != NULL)
		on_both(w, (uint16_t)(u - w->user), set_expired, true);
}

bool
client_may_renew(const struct world *w, uint16_t user)
{
	const struct user *u = &w->user[user];

	return !w->dirty && u->there && u->keys != NULL && !u->leaving && !u->joining;
}

void
world_set_leaving(struct world *w, uint16_t user, bool leaving)
{
	on_both(w, user, set_leaving, leaving);
}

/* [MS-SMB2] 3.3.5.5.3: where the logon itself fails the session is over. */
uint32_t
node_renews(struct world *w, uint16_t user)
{
	const uint8_t x = dice_byte(w->dice);

	if ((x & 7) == 7) {
		on_both(w, user, set_there, false);
		return LOGON_FAILURE;
	}
	if ((x & 7) == 6)
		return ACCESS_DENIED;
	on_both(w, user, set_expired, false);
	return STATUS_SUCCESS;
}

void
client_renewed(struct world *w, uint16_t user, uint32_t status)
{
	if (status != LOGON_FAILURE)
		world_set_leaving(w, user, false);
	if (status == STATUS_SUCCESS)
		w->user[user].told_expired = false;
}
