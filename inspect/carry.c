/* carry.c: carries decisions out: pending requests, stand-ins, signatures, seals, the new frame */
#include "config.h"

#include "inspect/carry.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "inspect/frame.h"
#include "inspect/setup.h"
#include "smb/chain1.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/sess1.h"

#include <inttypes.h>
#include <string.h>

static struct outcome
carried(void)
{
	return (struct outcome){ .act = OUTCOME_PASS };
}

static struct outcome
carry_close(enum close_reason why)
{
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
}

/* What a decision says besides the message. */
static void
carry_remarks(struct mediate *m, uint64_t session_id, const struct decision *d)
{
	struct channel *c = d->query == QUERY_NEVER ? NULL : track_channel(&m->track, session_id);
	char a[ADDR_STRLEN];

	for (unsigned i = 0; i < d->ncounts; i++)
		stats_add(m->env->stats, d->counts[i], 1);
	if (c != NULL)
		channel_query_result(m->env->sessions, c, d->query, d->list, d->nlist);
	if (d->text != NULL && mediate_may_log(m))
		log_conn(LOG_LEVEL_INFO, mediate_log(m), "%s (session %016" PRIx64 ", dialled %s)",
		    d->text, session_id, addr_str(&m->self.local.addr, a));
}

/* Notes a request whose answer must be seen; p has what is particular of it. */
static struct outcome
carry_note(struct mediate *m, const struct frame *f, const struct message *msg, struct pending p)
{
	const struct part2 *part = &msg->part;
	enum close_reason why;

	p.message_id = part->hdr.message_id;
	p.session_id = part->session_id;
	p.tree_id = part->tree_id;
	p.process_id = part->hdr.process_id;
	p.command = part->hdr.command;
	p.sealed = f->sealed;
	return track_ask(&m->track, &p, &why) == -1 ? carry_close(why) : carried();
}

/* An ECHO with its MessageId and credits goes on in the message's place. */
static struct outcome
carry_stand_in(struct mediate *m, struct frame *f, const struct message *msg, struct pending p)
{
	struct outcome o;

	/* No client seals a bind, [MS-SMB2] 3.2.4.1.8, nor puts any of these in a compound. */
	if (f->lift || (f->sealed && f->n > 1))
		return carry_close(CLOSE_BAD_SEQUENCE);
	p.stand_in = true;
	o = carry_note(m, f, msg, p);
	if (o.act != OUTCOME_PASS)
		return o;
	echo2_put(frame_begin(f, msg), &msg->part.hdr);
	frame_end(f, msg);
	/* An ECHO needs no session, and so no encryption. */
	f->seal = false;
	return o;
}

/* In a frame that is lifted nothing stays signed. */
static void
carry_unsigned(struct frame *f, const struct message *msg)
{
	struct hdr2 h = msg->part.hdr;
	struct wr *w = frame_begin(f, msg);

	h.flags &= ~SMB2_FLAGS_SIGNED;
	memset(h.signature, 0, sizeof(h.signature));
	hdr2_put(w, &h);
	wr_bytes(w, msg->bytes + SMB2_HDR_LEN, msg->part.len - SMB2_HDR_LEN);
	frame_end(f, msg);
}

struct outcome
carry_request(struct mediate *m, struct frame *f, const struct message *msg,
    const struct decision *d)
{
	struct pending p = d->pending;

	carry_remarks(m, msg->part.session_id, d);
	switch (d->act) {
	case DECIDE_CLOSE:
		return carry_close(d->why);
	case DECIDE_WAIT:
		return (struct outcome){ .act = OUTCOME_WAIT };
	case DECIDE_REFUSE:
		p = (struct pending){ .kind = PENDING_REFUSED, .status = d->status,
			.sign = d->sign };
		return carry_stand_in(m, f, msg, p);
	case DECIDE_STAND_IN:
		return carry_stand_in(m, f, msg, p);
	case DECIDE_NOTE:
		break;
	default:
		if (!f->lift)
			return carried();
		/* Its answer comes sealed too. */
		p = (struct pending){ .kind = PENDING_NEIGHBOUR, .way = WAY_LIFT };
	}
	if (f->lift)
		carry_unsigned(f, msg);
	return carry_note(m, f, msg, p);
}

/*
 * What an answer of ours is signed with: 1, or 0 when there is no such key. The answer to a bind
 * goes by the session's key and this connection's algorithm: the channel has none yet.
 */
static int
answer_key(const struct mediate *m, const struct pending *asked, struct signkey *k)
{
	const struct signkey *channel = track_signing(&m->track, asked->session_id);
	struct smbkeys *session;

	if (asked->command != SMB2_SESSION_SETUP) {
		if (channel != NULL)
			*k = *channel;
		return channel != NULL;
	}
	session = setup_session_keys(m, asked->session_id, NULL);
	if (session == NULL)
		return 0;
	*k = session->signing;
	k->alg = m->track.signing;
	smbkeys_unref(&session);
	return 1;
}

/* The header of our answer: of the node's, or, made of an ECHO's, with the ECHO's credits. */
static struct hdr2
answer_hdr(const struct message *msg, const struct pending *asked, uint32_t status)
{
	struct hdr2 h = msg->part.hdr;

	if (asked->stand_in) {
		h = hdr2_reply(&h, status, h.credits);
		h.command = asked->command;
		h.session_id = asked->session_id;
		h.tree_id = asked->tree_id;
		h.process_id = asked->process_id;
	}
	h.status = status;
	return h;
}

/* Our answer takes the place of msg; signed by the caller in a frame that is lowered. */
static struct outcome
carry_change(struct mediate *m, struct frame *f, const struct message *msg,
    const struct pending *asked, const struct decision *d)
{
	const struct hdr2 h = answer_hdr(msg, asked, d->status);
	uint8_t output[IFINFO_MAX * IFINFO_ENTRY_LEN];
	struct ioctl2_resp r = { .ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO, .output = output };
	struct wr *w = frame_begin(f, msg);
	struct signkey k;
	int good = 0;

	if (d->has_list) {
		memset(r.file_id, 0xff, sizeof(r.file_id));
		r.output_len = ifinfo_put(output, sizeof(output), d->list, d->nlist);
		ioctl2_resp_put(w, &h, &r);
	} else {
		err2_put(w, &h);
	}
	frame_end(f, msg);
	if (asked->stand_in && asked->sealed)
		frame_seal(f, &m->track, asked->session_id);
	if (d->sign && answer_key(m, asked, &k) == 1) {
		good = frame_sign(f, m->env->crypt, &k);
		explicit_bzero(&k, sizeof(k));
	}
	return good == -1 ? carry_close(CLOSE_NO_MEMORY) : carried();
}

/*
 * An answer that came sealed because we sealed its request goes to the client as the client asked:
 * plain and signed.
 */
static struct outcome
carry_lowered(struct mediate *m, struct frame *f, const struct message *msg,
    const struct pending *asked, bool changed)
{
	const struct signkey *k = track_signing(&m->track, asked->session_id);

	if (k == NULL)
		return carry_close(CLOSE_UNEXPECTED_ANSWER);
	if (!changed) {
		wr_bytes(frame_begin(f, msg), msg->bytes, msg->part.len);
		frame_end(f, msg);
	}
	/* Never signed, [MS-SMB2] 3.3.4.1.1: it shares the nonce of its MessageId. */
	if (message_interim(msg))
		return carried();
	return frame_sign(f, m->env->crypt, k) == -1 ? carry_close(CLOSE_UNEXPECTED_ANSWER)
	                                             : carried();
}

struct outcome
carry_answer(struct mediate *m, struct frame *f, const struct message *msg,
    const struct pending *asked, const struct decision *d)
{
	const bool change = d->act == DECIDE_CHANGE;
	struct outcome o = carried();

	carry_remarks(m, asked->session_id, d);
	if (d->act == DECIDE_CLOSE)
		return carry_close(d->why);
	if (d->act == DECIDE_WAIT)
		return (struct outcome){ .act = OUTCOME_WAIT };
	if (change)
		o = carry_change(m, f, msg, asked, d);
	if (o.act == OUTCOME_PASS && f->lower)
		o = carry_lowered(m, f, msg, asked, change);
	return o;
}

struct outcome
carry_smb1(struct mediate *m, const uint8_t *frame, size_t len, const struct decision *d)
{
	uint8_t *edit = m->env->edit;
	struct chain1 c;
	struct block1 b;
	struct sess1_req r;

	if (d->act == DECIDE_CLOSE)
		return carry_close(d->why);
	if (d->act != DECIDE_CHANGE)
		return carried();
	memcpy(edit, frame, len);
	if (chain1_init(&c, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN) == -1)
		return carry_close(CLOSE_BAD_MESSAGE);
	while (chain1_next(&c, &b) == 1) {
		if (b.command != SMB1_COM_SESSION_SETUP_ANDX || sess1_req_get(&r, &c, &b) == -1 ||
		    r.vc_number != 0)
			continue;
		sess1_vc_put(edit + NBSS_HDR_LEN, &r, d->vc_number);
		stats_add(m->env->stats, STAT_vc_renumbered, 1);
	}
	return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = edit, .len = len };
}
