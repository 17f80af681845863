/* query.c: interface queries: which way each goes, and the list that is its answer */
#include "config.h"

#include "inspect/query.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "inspect/announce.h"
#include "inspect/frame.h"
#include "inspect/session_over.h"
#include "inspect/sharing.h"
#include "nodes/node.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"

#include <string.h>

/* Ours is a list that the node has no part in, and it would give one. */
static bool
may_stand_in(const struct query_facts *f)
{
	return f->mode == POL_IF_ANNOUNCE && f->alone && f->listed;
}

enum query_way
query_choose(const struct query_facts *f)
{
	/*
	 * There never was a key, or a bad signature has just shown that it was a wrong one. Of a
	 * session that is not this connection's the node says what it thinks.
	 */
	if (f->is_signed && !f->sealed && !f->keyed && f->unkeyed == POL_UNKEYED_REFUSE)
		return f->known ? WAY_UNKEYED : WAY_OPAQUE;
	if (f->mode == POL_IF_PASS)
		return WAY_PASS;
	if (f->foreign && (f->keyed || !f->is_signed))
		return WAY_REFUSE;
	if (f->sealed)
		return WAY_RESEAL;
	if (!f->keyed)
		return f->is_signed ? WAY_OPAQUE : WAY_PLAIN;
	if (!f->by_gmac)
		return WAY_RESIGN;
	if (f->good && may_stand_in(f) && !f->must_sign)
		return WAY_VOUCH;
	/* Unsigned or forged, or of a session that may be over, it is for the node to refuse. */
	if (!f->good || f->doubted)
		return f->gmac == POL_GMAC_RESIGN ? WAY_RESIGN : f->doubted ? WAY_DOUBT : WAY_GMAC;
	/* If the session ends elsewhere meanwhile, what is lifted would end the connection. */
	if (f->liftable && !(f->shared && may_stand_in(f)))
		return WAY_LIFT;
	/* An ECHO is answered on a dead session too. */
	if (may_stand_in(f))
		return WAY_SUBSTITUTE;
	if (f->gmac == POL_GMAC_RESIGN)
		return WAY_RESIGN;
	/* With a cipher there is a way, but not in this company: what asks for it alone is told. */
	return f->gmac == POL_GMAC_REFUSE || f->cipher ? WAY_REFUSE : WAY_GMAC;
}

static bool
is_query(const struct message *msg)
{
	return msg->part.hdr.command == SMB2_IOCTL &&
	    ioctl2_peek(msg->bytes, msg->part.len) == FSCTL_QUERY_NETWORK_INTERFACE_INFO;
}

static bool
is_signed(const struct message *msg)
{
	return (msg->part.hdr.flags & SMB2_FLAGS_SIGNED) != 0;
}

/* [MS-SMB2] 3.3.5.2.5: a credit for each 64 KiB of output. */
static bool
charge_covers(const struct hdr2 *h, uint32_t output)
{
	const uint64_t charge = h->credit_charge == 0 ? 1 : h->credit_charge;

	return output <= charge * 65536;
}

/*
 * A query that the node would answer with a list, [MS-SMB2] 3.3.5.15.11: well formed, and
 * multichannel is what the node does, as it said to this client or to the health probe. Anything
 * else gets its error from the node itself.
 */
static bool
would_list(const struct mediate *m, const struct message *msg, const struct ioctl2_req *r)
{
	static const uint8_t any_file[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return m->track.dialect >= SMB2_DIALECT_300 && r->flags == SMB2_IOCTL_IS_FSCTL &&
	    r->input_count == 0 && memcmp(r->file_id, any_file, sizeof(any_file)) == 0 &&
	    charge_covers(&msg->part.hdr, r->max_output) &&
	    ((m->track.server_caps | node_capabilities(m->node)) &
	        SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0;
}

/* Can all messages of the frame go sealed? Signed by the same session, rightly, and no logon. */
static bool
can_lift(struct mediate *m, struct frame *f, uint64_t session_id)
{
	if (f->fixed || (f->n > 1 && !frame_answers_fit(f)))
		return false;
	for (unsigned i = 0; i < f->n; i++) {
		struct message *msg = &f->msg[i];

		switch (msg->part.hdr.command) {
		case SMB2_NEGOTIATE:
		case SMB2_SESSION_SETUP:
		case SMB2_LOGOFF:
		case SMB2_CANCEL:
			return false;
		default:
			break;
		}
		if (msg->part.session_id != session_id ||
		    frame_signature(m, msg) != SIGNATURE_GOOD)
			return false;
	}
	return true;
}

/*
 * Signatures first: a bad one may cost the session its keys. Those of the neighbours are checked
 * only where the query's way depends on them.
 */
static struct query_facts
query_facts(struct mediate *m, struct frame *f, struct message *msg)
{
	const uint64_t session_id = msg->part.session_id;
	const struct policy *p = m->env->policy;
	const struct channel *c = track_channel(&m->track, session_id);
	/* The keys of one that is over elsewhere may still be here. */
	const bool over = c != NULL && channel_over(c);
	const struct signkey *k = over ? NULL : track_signing(&m->track, session_id);
	struct query_facts q = {
		.mode = announce_mode(p, m->self.listener, m->intercept),
		.gmac = p->gmac,
		.unkeyed = p->unkeyed,
		.sealed = f->sealed,
		.is_signed = is_signed(msg),
		.known = c != NULL && !over,
		.alone = frame_alone(f),
		.must_sign = c != NULL && channel_must_sign(c),
		.shared = c != NULL && (channel_shared(m->env->sessions, c) ||
		    sharing_possible(m->env)),
		.doubted = c != NULL &&
		    (channel_doubted(c) || channel_rebound(c) ||
		        track_replaces(&m->track, session_id)),
	};
	struct ioctl2_req r;

	/* What cannot be read is for the node to refuse, and promises no room for an answer. */
	q.listed = ioctl2_req_get(&r, msg->bytes, msg->part.len) == 0 && would_list(m, msg, &r);
	msg->max_output = r.max_output;
	if (q.sealed) {
		q.keyed = true;
		return q;
	}
	q.foreign = frame_foreign(f, &m->track, session_id);
	q.cipher = k != NULL && track_keys(&m->track, session_id)->cipher != 0;
	q.liftable = q.is_signed && q.cipher && k->alg == SMB2_SIGNING_AES_GMAC &&
	    q.mode != POL_IF_PASS && !q.doubted && can_lift(m, f, session_id);
	q.good = frame_signature(m, msg) == SIGNATURE_GOOD;
	k = over ? NULL : track_signing(&m->track, session_id);
	q.keyed = k != NULL;
	q.by_gmac = k != NULL && k->alg == SMB2_SIGNING_AES_GMAC;
	return q;
}

/*
 * Does it ask for more than could be held? Then the node is asked for less, if its word on the
 * query is the same for both, and we may change the query. What is more than 1 MiB may be more than
 * the node takes.
 */
static bool
must_narrow(const struct message *msg, const struct query_facts *q)
{
	if (msg->max_output <= OUTPUT_MAX || msg->max_output > 1 << 20 || !q->listed)
		return false;
	return msg->way == WAY_PLAIN || msg->way == WAY_LIFT || msg->way == WAY_RESEAL ||
	    (msg->way == WAY_RESIGN && (!q->is_signed || q->good));
}

/* The MaxOutputResponse that the node is to see. */
static uint32_t
node_output(const struct frame *f, const struct message *msg, const struct query_facts *q)
{
	/* The node itself says that it has no room, if the list could not be changed. */
	if (msg->way == WAY_RESEAL && f->n > 1 && !frame_answers_fit(f))
		return 0;
	return must_narrow(msg, q) ? OUTPUT_MAX : msg->max_output;
}

static __attribute__((noinline)) void
query_find_way(struct mediate *m, struct frame *f, struct message *msg)
{
	struct query_facts q = query_facts(m, f, msg);

	msg->way = query_choose(&q);
	msg->output = node_output(f, msg, &q);
	/* Of the query alone: an expired session's list is told by smbd when it is asked sealed. */
	msg->vouched = msg->way == WAY_VOUCH || (msg->way == WAY_LIFT && may_stand_in(&q));
	if (msg->way == WAY_LIFT) {
		f->lift = true;
		frame_seal(f, &m->track, msg->part.session_id);
	}
}

void
query_ways(struct mediate *m, struct frame *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (is_query(&f->msg[i]))
			query_find_way(m, f, &f->msg[i]);
}

static struct decision
query_refuse(const struct frame *f, const struct message *msg)
{
	struct decision d = { .act = DECIDE_REFUSE, .status = STATUS_NOT_SUPPORTED, .sign = true };

	/* The ECHO would take the session from the messages related to it. */
	if (frame_related_follows(f, msg))
		d = decide_close(CLOSE_GMAC);
	decision_count(&d, STAT_ifinfo_gmac_refused);
	d.query = QUERY_REFUSED;
	return d;
}

struct decision
query_request(const struct frame *f, const struct message *msg)
{
	struct decision d = decide_note(PENDING_IFINFO);

	switch (msg->way) {
	case WAY_NONE:
		return decide(DECIDE_PASS);
	case WAY_UNKEYED:
		return decide_close(CLOSE_UNKEYED);
	case WAY_REFUSE:
		return query_refuse(f, msg);
	case WAY_SUBSTITUTE:
		d.act = DECIDE_STAND_IN;
		break;
	default:
		if (msg->vouched)
			d.act = DECIDE_STAND_IN;
		break;
	}
	d.pending.way = (uint8_t)msg->way;
	d.pending.max_output = msg->max_output;
	return d;
}

/* A status of ours in the place of the answer. */
static struct decision
told(uint32_t status, bool sign, enum query_result query, enum counter c)
{
	struct decision d = {
		.act = DECIDE_CHANGE,
		.status = status,
		.sign = sign,
		.query = query,
	};

	decision_count(&d, c);
	return d;
}

/* Our list, unsigned; nodes: the node's, of n. */
static struct decision
our_list(const struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, enum pol_ifmode mode, const struct ifinfo *nodes, size_t n,
    struct ifinfo list[IFINFO_MAX])
{
	const size_t k = announce(m->env->policy, m->self.listener, mode, &m->self.local.addr,
	    nodes, n, list, IFINFO_MAX);
	const size_t len = k * IFINFO_ENTRY_LEN;
	struct decision d = told(STATUS_BUFFER_TOO_SMALL, false, QUERY_OURS,
	    mode == POL_IF_FILTER ? STAT_ifinfo_filtered : STAT_ifinfo_announced);

	d.list = list;
	d.nlist = k;
	/* A list is never cut: [MS-SMB2] 3.3.5.15.11. */
	d.has_list = len <= asked->max_output && frame_fits(f, msg, IOCTL2_RESP_LEN + len);
	if (d.has_list)
		d.status = STATUS_SUCCESS;
	else
		decision_count(&d, STAT_ifinfo_too_small);
	return d;
}

/* The node's answer goes on as it is. */
static struct decision
nodes_own(enum query_result query, enum counter c)
{
	struct decision d = { .act = DECIDE_PASS, .query = query };

	decision_count(&d, c);
	return d;
}

/*
 * The node does not let the session vouch for itself, for it must sign: what the node has signed
 * to say so has the nonce that ours would have. The next query goes another way.
 */
static struct decision
not_vouched(struct mediate *m, const struct pending *asked)
{
	struct channel *c = track_channel(&m->track, asked->session_id);

	if (c != NULL)
		channel_sign_always(c);
	return told(STATUS_NOT_SUPPORTED, false, QUERY_REFUSED, STAT_ifinfo_gmac_refused);
}

/* What the node says of the session, and not of the stand-in. */
static bool
of_the_session(const struct pending *asked, uint32_t status)
{
	return asked->sent == SMB2_ECHO
	    ? status != STATUS_SUCCESS
	    : status == STATUS_USER_SESSION_DELETED || status == STATUS_NETWORK_SESSION_EXPIRED;
}

/* The answer to what stood in. Whatever the policy has become: there is no list but ours. */
static struct decision
substituted(struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, struct ifinfo list[IFINFO_MAX])
{
	struct decision d;

	if (is_signed(msg))
		return not_vouched(m, asked);
	if (of_the_session(asked, msg->part.hdr.status))
		return told(msg->part.hdr.status, !f->lower, QUERY_ERROR, STAT_ifinfo_errors);
	/* The session has ended in between, and with it its keys. */
	if (track_signing(&m->track, asked->session_id) == NULL)
		return told(STATUS_USER_SESSION_DELETED, false, QUERY_ERROR, STAT_ifinfo_errors);
	d = our_list(m, f, msg, asked, POL_IF_ANNOUNCE, NULL, 0, list);
	d.sign = !f->lower;
	return d;
}

/*
 * smbd takes a connection for a channel as soon as a bind has begun, and signs there with the
 * session's key. Other servers say that there is no such session, and so is the client told.
 */
static bool
half_bound(const struct mediate *m, uint64_t session_id)
{
	return track_channel(&m->track, session_id) == NULL &&
	    logons_binding(&m->logons, session_id);
}

/* A list that came signed, and there is no key, or no more: it goes as it is, or not at all. */
static struct decision
opaque_list(const struct mediate *m, const struct pending *asked)
{
	if (half_bound(m, asked->session_id))
		return told(STATUS_USER_SESSION_DELETED, false, QUERY_ERROR, STAT_ifinfo_errors);
	return m->env->policy->unkeyed == POL_UNKEYED_REFUSE
	    ? decide_close(CLOSE_UNKEYED)
	    : nodes_own(QUERY_OPAQUE, STAT_ifinfo_opaque);
}

/* GMAC leaves no way: what the node has signed can be told, or a status without a signature. */
static struct decision
gmac_list(const struct mediate *m, const struct pending *asked)
{
	return m->env->policy->gmac == POL_GMAC_REFUSE || asked->way == WAY_DOUBT
	    ? told(STATUS_NOT_SUPPORTED, false, QUERY_REFUSED, STAT_ifinfo_gmac_refused)
	    : nodes_own(QUERY_GMAC, STAT_ifinfo_gmac_passed);
}

/* A list came signed. True: ours is to be signed in its place; else *d is what becomes of it. */
static bool
sign_anew(struct mediate *m, const struct message *msg, const struct pending *asked,
    struct decision *d)
{
	const struct signkey *k = track_signing(&m->track, asked->session_id);
	struct channel *c = track_channel(&m->track, asked->session_id);

	if (asked->way == WAY_LIFT || asked->way == WAY_RESEAL)
		/* What went sealed comes sealed, [MS-SMB2] 3.3.4.1.4. */
		*d = decide_close(CLOSE_UNEXPECTED_ANSWER);
	else if (c == NULL && asked->way != WAY_PLAIN && asked->way != WAY_OPAQUE)
		/* It had a key when this was asked, and has ended in between. */
		*d = told(STATUS_USER_SESSION_DELETED, false, QUERY_ERROR, STAT_ifinfo_errors);
	else if (k == NULL || asked->way == WAY_PLAIN || asked->way == WAY_OPAQUE)
		*d = opaque_list(m, asked);
	else if (asked->way == WAY_GMAC || asked->way == WAY_DOUBT)
		*d = gmac_list(m, asked);
	else if (sign_good(m->env->crypt, k, msg->bytes, msg->part.len))
		return true;
	else if (smbkeys_proven(channel_keys(c), SMBKEYS_SIGN))
		*d = decide_close(CLOSE_BAD_SIGNATURE);
	else {
		channel_opaque(m->env->sessions, c, NOKEY_wrong_key,
		    "the node signs with a key that was not derived");
		m->track.bare = true;
		*d = opaque_list(m, asked);
	}
	return false;
}

static bool
is_error(uint32_t status)
{
	return status >> 30 == 3;	/* [MS-ERREF] 2.3: the severity */
}

/* The node's list may not have fitted where ours does. */
static bool
not_fitted(uint32_t status)
{
	return status == STATUS_BUFFER_TOO_SMALL || status == STATUS_BUFFER_OVERFLOW;
}

/* What is told in the place of an answer that may hold a list, under whatever status. */
static struct decision
exchanged(const struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, enum pol_ifmode mode, struct ifinfo list[IFINFO_MAX])
{
	const uint32_t status = msg->part.hdr.status;
	struct ifinfo nodes[IFINFO_MAX];
	struct decision d;
	struct ioctl2_resp r;
	size_t n;

	if (mode == POL_IF_ANNOUNCE && (!is_error(status) || not_fitted(status)))
		return our_list(m, f, msg, asked, mode, NULL, 0, list);
	if (is_error(status))
		return told(status, false, QUERY_ERROR, STAT_ifinfo_errors);
	if (ioctl2_resp_get(&r, msg->bytes, msg->part.len) == -1 ||
	    r.ctl_code != FSCTL_QUERY_NETWORK_INTERFACE_INFO ||
	    ifinfo_get(nodes, IFINFO_MAX, &n, r.output, r.output_len) == -1)
		return told(STATUS_INVALID_NETWORK_RESPONSE, false, QUERY_ERROR,
		    STAT_ifinfo_malformed);
	d = our_list(m, f, msg, asked, mode, nodes, n, list);
	if (d.has_list)
		d.status = status;
	return d;
}

/* What the node signs with the session's key says that it lives, unless it says otherwise. */
static void
settle_doubt(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	const struct signkey *k = track_signing(&m->track, asked->session_id);

	if (asked->way == WAY_DOUBT && k != NULL && is_signed(msg) &&
	    msg->part.hdr.status != STATUS_NETWORK_SESSION_EXPIRED &&
	    sign_good(m->env->crypt, k, msg->bytes, msg->part.len)) {
		session_doubt(m, asked->session_id, false);
		channel_rebind(track_channel(&m->track, asked->session_id), false);
	}
}

struct decision
query_answer(struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, struct ifinfo list[IFINFO_MAX])
{
	const enum pol_ifmode mode = announce_mode(m->env->policy, m->self.listener, m->intercept);
	const uint32_t status = msg->part.hdr.status;
	const bool sign = is_signed(msg) && !f->sealed;
	struct decision d;

	settle_doubt(m, msg, asked);
	if (asked->stand_in)
		return substituted(m, f, msg, asked, list);
	/* The node's own word, with nothing in it. */
	if (status != STATUS_SUCCESS && err2_is(msg->bytes, msg->part.len) &&
	    !(mode == POL_IF_ANNOUNCE && not_fitted(status)))
		return nodes_own(QUERY_ERROR, STAT_ifinfo_errors);
	if (asked->way == WAY_PASS)
		return nodes_own(QUERY_NODES, STAT_ifinfo_passed);
	if (sign && !sign_anew(m, msg, asked, &d))
		return d;
	if (mode == POL_IF_PASS)
		return nodes_own(QUERY_NODES, STAT_ifinfo_passed);
	d = exchanged(m, f, msg, asked, mode, list);
	d.sign = sign;
	return d;
}
