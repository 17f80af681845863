/* carry.c: carries decisions out: pending requests, stand-ins, signatures, seals, the new frame */
#include "config.h"

#include "inspect/carry.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "inspect/frame.h"
#include "inspect/query_note.h"
#include "inspect/setup.h"
#include "smb/chain1.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/raw1.h"
#include "smb/sess1.h"
#include "stats/refusals.h"

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

/*
 * What a decision says besides the message, of which answer is the node's, or NULL. Few do, so it
 * is kept out of the others' way.
 */
static __attribute__((noinline)) void
carry_remark(struct mediate *m, uint64_t session_id, const struct message *answer,
    const struct decision *d)
{
	struct log_fields f;
	char a[ADDR_STRLEN];
	int kind;

	if (d->query != QUERY_NEVER)
		query_note(m, session_id, answer, d);
	if (d->query != QUERY_NEVER && log_wants(LOG_LEVEL_DEBUG)) {
		f = mediate_log(m, LOG_EVENT_INTERFACES);
		f.session = session_id;
		f.reason = query_result_str(d->query);
		log_conn(LOG_LEVEL_DEBUG, f, "interfaces: told %zu (%s, session 0x%016" PRIx64 ")",
		    d->nlist, f.reason, session_id);
	}
	if (d->text == NULL)
		return;
	kind = refusals_of_counter(d->counts[0]);
	f = mediate_log(m, LOG_EVENT_BIND_REFUSED);
	f.session = session_id;
	f.status = d->status;
	f.code = kind < 0 ? NULL : refusals_code((size_t)kind);
	f.reason = d->text;
	log_conn(LOG_LEVEL_INFO, f, "%s (session 0x%016" PRIx64 ", dialled %s)", d->text,
	    session_id, addr_str(&m->self.local.addr, a));
}

static void
carry_remarks(struct mediate *m, uint64_t session_id, const struct message *answer,
    const struct decision *d)
{
	for (unsigned i = 0; i < d->ncounts; i++) {
		stats_add(m->env->stats, d->counts[i], 1);
		/* What ends the connection is kept when it does. */
		if (d->act != DECIDE_CLOSE && d->act != DECIDE_PASS)
			mediate_refused(m, refusals_of_counter(d->counts[i]),
			    &m->track.client_guid, session_id, NULL);
	}
	if (d->query != QUERY_NEVER || d->text != NULL)
		carry_remark(m, session_id, answer, d);
}

/* Notes a request whose answer must be seen; p has what is particular of it, and gets the rest. */
static struct outcome
carry_note(struct mediate *m, const struct frame *f, const struct message *msg, struct pending *p)
{
	const struct part2 *part = &msg->part;
	enum close_reason why;

	p->message_id = part->hdr.message_id;
	p->session_id = part->session_id;
	p->tree_id = part->tree_id;
	p->process_id = part->hdr.process_id;
	p->command = part->hdr.command;
	p->sealed = f->sealed;
	return track_ask(&m->track, p, &why) == -1 ? carry_close(why) : carried();
}

uint16_t
carry_sent(const struct pending *asked)
{
	return asked->stand_in ? asked->sent : asked->command;
}

/*
 * What the node always answers. An ECHO in company may be answered in a frame that is not held,
 * where nothing may grow: then it is a TREE_DISCONNECT, which looks the same, and of no session is
 * answered by an error, as long as the one that we tell.
 */
static uint8_t
stand_in_for(const struct frame *f, const struct message *msg)
{
	if (msg->part.hdr.command == SMB2_SESSION_SETUP)
		return SMB2_SESSION_SETUP;
	if (msg->vouched)
		return SMB2_FLUSH;
	return frame_alone(f) ? SMB2_ECHO : SMB2_TREE_DISCONNECT;
}

/* It goes on in the message's place, with its MessageId and credits. */
static struct outcome
carry_stand_in(struct mediate *m, struct frame *f, const struct message *msg, struct pending *p)
{
	struct outcome o;

	/* No client seals a bind, [MS-SMB2] 3.2.4.1.8, nor puts any of these in a compound. */
	if ((f->lift && !msg->vouched) || (f->sealed && f->n > 1))
		return carry_close(CLOSE_BAD_SEQUENCE);
	p->stand_in = true;
	p->sent = stand_in_for(f, msg);
	o = carry_note(m, f, msg, p);
	if (o.act != OUTCOME_PASS)
		return o;
	if (p->sent == SMB2_SESSION_SETUP)
		nobody2_put(frame_begin(f, msg), &msg->part.hdr);
	else if (p->sent == SMB2_FLUSH)
		flush2_put(frame_begin(f, msg), &msg->part.hdr, msg->part.session_id,
		    msg->part.tree_id);
	else
		echo2_put(frame_begin(f, msg), p->sent, &msg->part.hdr);
	frame_end(f, msg);
	/* It needs no session, and so no encryption; or a session that has not asked for that. */
	f->seal = f->lift;
	return o;
}

/*
 * It goes on with less to ask for, signed as it was. In a frame that is lifted nothing stays
 * signed. 0, or -1.
 */
static int
carry_changed(struct mediate *m, struct frame *f, const struct message *msg)
{
	struct hdr2 h = msg->part.hdr;
	const bool sign = !f->lift && !f->sealed && (h.flags & SMB2_FLAGS_SIGNED) != 0;
	struct wr *w = frame_begin(f, msg);

	h.flags &= ~SMB2_FLAGS_SIGNED;
	memset(h.signature, 0, sizeof(h.signature));
	hdr2_put(w, &h);
	wr_bytes(w, msg->bytes + SMB2_HDR_LEN, msg->part.len - SMB2_HDR_LEN);
	if (msg->output != msg->max_output)
		wr_u32_at(w, f->start + IOCTL2_MAX_OUTPUT, msg->output);
	frame_end(f, msg);
	return sign ? frame_sign(f, m->env->crypt, track_signing(&m->track, msg->part.session_id))
	            : 0;
}

struct outcome
carry_request(struct mediate *m, struct frame *f, const struct message *msg,
    const struct decision *d)
{
	struct pending p = d->pending;

	carry_remarks(m, msg->part.session_id, NULL, d);
	switch (d->act) {
	case DECIDE_CLOSE:
		return carry_close(d->why);
	case DECIDE_WAIT:
		return (struct outcome){ .act = OUTCOME_WAIT };
	case DECIDE_REFUSE:
		p = (struct pending){ .kind = PENDING_REFUSED, .status = d->status,
			.sign = d->sign };
		return carry_stand_in(m, f, msg, &p);
	case DECIDE_STAND_IN:
		return carry_stand_in(m, f, msg, &p);
	case DECIDE_NOTE:
		break;
	default:
		if (!f->lift)
			return carried();
		/* Its answer comes sealed too. */
		p = (struct pending){ .kind = PENDING_NEIGHBOUR, .way = WAY_LIFT };
	}
	if ((f->lift || msg->output != msg->max_output) && carry_changed(m, f, msg) == -1)
		return carry_close(CLOSE_NO_MEMORY);
	return carry_note(m, f, msg, &p);
}

/*
 * What an answer of ours is signed with: 1, or 0 when there is no such key. The answer to a bind
 * goes by the session's key and this connection's algorithm: the channel has none yet. One to a
 * reauthentication goes by the channel's: what stood in for it was answered without that key.
 */
static int
answer_key(const struct mediate *m, const struct pending *asked, struct signkey *k)
{
	const struct signkey *channel = track_signing(&m->track, asked->session_id);
	struct smbkeys *session;

	if (channel != NULL)
		*k = *channel;
	if (channel != NULL || asked->command != SMB2_SESSION_SETUP)
		return channel != NULL;
	session = setup_session_keys(m, asked->session_id, NULL);
	if (session == NULL)
		return 0;
	*k = session->signing;
	k->alg = m->track.signing;
	smbkeys_unref(&session);
	return 1;
}

/* The header of our answer: the node's, unsigned; of a stand-in's, as the client has asked. */
static struct hdr2
answer_hdr(const struct message *msg, const struct pending *asked, uint32_t status)
{
	struct hdr2 h = msg->part.hdr;

	h.status = status;
	h.flags &= ~SMB2_FLAGS_SIGNED;
	memset(h.signature, 0, sizeof(h.signature));
	if (asked->stand_in) {
		h.command = asked->command;
		h.session_id = asked->session_id;
		/* An asynchronous one has an AsyncId in the place of these. */
		h.tree_id = asked->tree_id;
		h.process_id = asked->process_id;
	}
	return h;
}

/* Our answer takes the place of msg; signed by the caller in a frame that is lowered. */
static struct outcome
carry_change(struct mediate *m, struct frame *f, const struct message *msg,
    const struct pending *asked, const struct decision *d)
{
	const struct hdr2 h = answer_hdr(msg, asked, d->status);
	struct ioctl2_resp r = { .ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO };
	struct wr *w = frame_begin(f, msg);
	struct signkey k;
	int good = 0;

	if (d->has_list) {
		memset(r.file_id, 0xff, sizeof(r.file_id));
		r.output_len = d->nlist * IFINFO_ENTRY_LEN;
		ioctl2_resp_put(w, &h, &r);
		ifinfo_put(w, d->list, d->nlist);
	} else {
		err2_put(w, &h);
	}
	frame_end(f, msg);
	if (asked->stand_in && asked->sealed)
		frame_seal(f, &m->track, asked->session_id);
	/* What goes sealed is not signed, [MS-SMB2] 3.3.4.1.1. */
	if (d->sign && !asked->sealed && answer_key(m, asked, &k) == 1) {
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

	carry_remarks(m, asked->session_id, msg, d);
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
	size_t at;

	if (d->act == DECIDE_CLOSE)
		return carry_close(d->why);
	if (d->act != DECIDE_CHANGE)
		return carried();
	memcpy(edit, frame, len);
	if (chain1_init(&c, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN) == -1)
		return carry_close(CLOSE_BAD_MESSAGE);
	while (chain1_next(&c, &b) == 1) {
		if (c.hdr.command == SMB1_COM_NEGOTIATE)
			raw1_withdraw(edit + NBSS_HDR_LEN, &b);
		at = raw1_asked(c.msg, c.len, &b);
		if (at != 0)
			raw1_refuse(edit + NBSS_HDR_LEN, at);
		if (b.command != SMB1_COM_SESSION_SETUP_ANDX || sess1_req_get(&r, &c, &b) == -1 ||
		    r.vc_number != 0)
			continue;
		sess1_vc_put(edit + NBSS_HDR_LEN, &r, d->vc_number);
		stats_add(m->env->stats, STAT_vc_renumbered, 1);
	}
	return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = edit, .len = len };
}
