/* query.c: interface queries: which way each goes, and the list that is its answer */
#include "config.h"

#include "inspect/query.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "inspect/announce.h"
#include "inspect/frame.h"
#include "nodes/node.h"
#include "smb/const.h"
#include "smb/ioctl2.h"

#include <string.h>

enum query_way
query_choose(const struct query_facts *f)
{
	/* The list does not depend on the node's, and the query has its frame for itself. */
	bool substitutable = f->mode == POL_IF_ANNOUNCE && f->alone && f->listed;

	/* There never was a key, or a bad signature has just shown that it was a wrong one. */
	if (f->is_signed && !f->sealed && !f->keyed && f->unkeyed == POL_UNKEYED_REFUSE)
		return WAY_UNKEYED;
	if (f->mode == POL_IF_PASS)
		return WAY_PASS;
	if (f->sealed)
		return substitutable ? WAY_SUBSTITUTE : WAY_RESEAL;
	if (!f->keyed)
		return f->is_signed ? WAY_OPAQUE : WAY_PLAIN;
	/* Unsigned or forged, the node says what it thinks of it. */
	if (f->good && substitutable)
		return WAY_SUBSTITUTE;
	if (f->good && f->by_gmac && f->cipher && f->liftable)
		return WAY_LIFT;
	if (f->good && f->by_gmac && f->gmac == POL_GMAC_REFUSE)
		return WAY_REFUSE;
	return f->by_gmac && f->gmac != POL_GMAC_RESIGN ? WAY_GMAC : WAY_RESIGN;
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

/*
 * A query that the node would answer with a list, [MS-SMB2] 3.3.5.15.11: well formed, and
 * multichannel is what the node does, as it said to this client or to the health probe. Anything
 * else gets its error from the node itself.
 */
static bool
would_list(const struct mediate *m, const struct ioctl2_req *r)
{
	static const uint8_t any_file[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return m->track.dialect >= SMB2_DIALECT_300 && r->flags == SMB2_IOCTL_IS_FSCTL &&
	    r->input_count == 0 && memcmp(r->file_id, any_file, sizeof(any_file)) == 0 &&
	    ((m->track.server_caps | node_capabilities(m->node)) &
	        SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0;
}

/* Can all messages of the frame go sealed? Signed by the same session, rightly, and no logon. */
static bool
can_lift(struct mediate *m, struct frame *f, uint64_t session_id)
{
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
query_facts(struct mediate *m, struct frame *f, struct message *msg, const struct ioctl2_req *r)
{
	const uint64_t session_id = msg->part.session_id;
	const struct policy *p = m->env->policy;
	const struct signkey *k = track_signing(&m->track, session_id);
	struct query_facts q = {
		.mode = announce_mode(p, m->listener, m->intercept),
		.gmac = p->gmac,
		.unkeyed = p->unkeyed,
		.sealed = f->sealed,
		.is_signed = is_signed(msg),
		.alone = f->n == 1,
		.listed = would_list(m, r),
	};

	if (q.sealed) {
		q.keyed = true;
		return q;
	}
	q.cipher = k != NULL && track_keys(&m->track, session_id)->cipher != 0;
	q.liftable = q.is_signed && q.cipher && k->alg == SMB2_SIGNING_AES_GMAC &&
	    q.mode != POL_IF_PASS && can_lift(m, f, session_id);
	q.good = frame_signature(m, msg) == SIGNATURE_GOOD;
	k = track_signing(&m->track, session_id);
	q.keyed = k != NULL;
	q.by_gmac = k != NULL && k->alg == SMB2_SIGNING_AES_GMAC;
	return q;
}

void
query_ways(struct mediate *m, struct frame *f)
{
	struct query_facts q;
	struct ioctl2_req r;

	for (unsigned i = 0; i < f->n; i++) {
		struct message *msg = &f->msg[i];

		if (!is_query(msg))
			continue;
		msg->way = WAY_MALFORMED;
		if (ioctl2_req_get(&r, msg->bytes, msg->part.len) == -1)
			continue;
		msg->max_output = r.max_output;
		q = query_facts(m, f, msg, &r);
		msg->way = query_choose(&q);
		if (msg->way == WAY_LIFT) {
			f->lift = true;
			frame_seal(f, &m->track, msg->part.session_id);
		}
	}
}

static struct decision
query_refuse(const struct frame *f)
{
	struct decision d = { .act = DECIDE_REFUSE, .status = STATUS_NOT_SUPPORTED, .sign = true };

	/* In a compound the ECHO would take the session from the messages related to it. */
	if (f->n > 1)
		d = decide_close(CLOSE_GMAC);
	decision_count(&d, STAT_ifinfo_gmac_refused);
	d.query = QUERY_REFUSED;
	return d;
}

struct decision
query_request(const struct mediate *m, const struct frame *f, const struct message *msg)
{
	struct decision d = decide_note(PENDING_IFINFO);

	switch (msg->way) {
	case WAY_NONE:
		return decide(DECIDE_PASS);
	case WAY_MALFORMED:
		return decide_close(CLOSE_BAD_MESSAGE);
	case WAY_UNKEYED:
		return decide_close(CLOSE_UNKEYED);
	case WAY_REFUSE:
		return query_refuse(f);
	case WAY_SUBSTITUTE:
		d.act = DECIDE_STAND_IN;
		break;
	default:
		break;
	}
	d.pending.way = (uint8_t)msg->way;
	d.pending.mode = (uint8_t)announce_mode(m->env->policy, m->listener, m->intercept);
	d.pending.max_output = msg->max_output;
	return d;
}

/* Our list; nodes: the node's, of n. */
static struct decision
our_list(const struct mediate *m, const struct pending *asked, const struct ifinfo *nodes, size_t n,
    bool sign, struct ifinfo list[IFINFO_MAX])
{
	const enum pol_ifmode mode = (enum pol_ifmode)asked->mode;
	struct decision d = { .act = DECIDE_CHANGE, .sign = sign, .query = QUERY_OURS,
		.list = list };

	d.nlist = announce(m->env->policy, m->listener, mode, &m->self.local.addr, nodes, n, list,
	    IFINFO_MAX);
	/* A list is never cut: [MS-SMB2] 3.3.5.15.11. */
	d.has_list = d.nlist * IFINFO_ENTRY_LEN <= asked->max_output;
	d.status = d.has_list ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
	if (!d.has_list)
		decision_count(&d, STAT_ifinfo_too_small);
	decision_count(&d, mode == POL_IF_FILTER ? STAT_ifinfo_filtered : STAT_ifinfo_announced);
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

/* The answer to the ECHO. */
static struct decision
substituted(const struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, struct ifinfo list[IFINFO_MAX])
{
	/* The session may have ended in between: then nobody waits for this any more. */
	if (f->n > 1 || f->sealed || track_signing(&m->track, asked->session_id) == NULL)
		return decide_close(CLOSE_UNEXPECTED_ANSWER);
	/* An ECHO that fails is the node's word on the connection. */
	if (msg->part.hdr.status != STATUS_SUCCESS)
		return (struct decision){ .act = DECIDE_CHANGE, .sign = !asked->sealed,
			.status = msg->part.hdr.status };
	return our_list(m, asked, NULL, 0, !asked->sealed, list);
}

/* The node's answer came signed: PASS as it is; CHANGE, when it is to be signed anew; or CLOSE. */
static struct decision
signed_answer(const struct mediate *m, const struct message *msg, const struct pending *asked)
{
	const struct signkey *k = track_signing(&m->track, asked->session_id);

	switch ((enum query_way)asked->way) {
	case WAY_RESIGN:
		break;
	case WAY_PLAIN:
	case WAY_OPAQUE:
		k = NULL;
		break;
	case WAY_GMAC:
		if (k != NULL)
			return nodes_own(QUERY_GMAC, STAT_ifinfo_gmac_passed);
		break;
	default:
		/* What went sealed comes sealed, [MS-SMB2] 3.3.4.1.4. */
		return decide_close(CLOSE_UNEXPECTED_ANSWER);
	}
	/* Never had, or lost since. */
	if (k == NULL)
		return nodes_own(QUERY_OPAQUE, STAT_ifinfo_opaque);
	if (!sign_good(m->env->crypt, k, msg->bytes, msg->part.len))
		return decide_close(CLOSE_BAD_SIGNATURE);
	return decide(DECIDE_CHANGE);
}

struct decision
query_answer(const struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, struct ifinfo list[IFINFO_MAX])
{
	const uint32_t status = msg->part.hdr.status;
	const bool sign = is_signed(msg) && !f->sealed;
	struct ifinfo nodes[IFINFO_MAX];
	struct decision d;
	struct ioctl2_resp r;
	size_t n = 0;

	if (asked->way == WAY_SUBSTITUTE)
		return substituted(m, f, msg, asked, list);
	/* The node's list may not have fitted where ours does. */
	if (status != STATUS_SUCCESS &&
	    !(asked->mode == POL_IF_ANNOUNCE && status == STATUS_BUFFER_TOO_SMALL))
		return nodes_own(QUERY_ERROR, STAT_ifinfo_errors);
	if (asked->way == WAY_PASS)
		return nodes_own(QUERY_NODES, STAT_ifinfo_passed);
	if (sign) {
		d = signed_answer(m, msg, asked);
		if (d.act != DECIDE_CHANGE)
			return d;
	}
	if (status == STATUS_SUCCESS &&
	    (ioctl2_resp_get(&r, msg->bytes, msg->part.len) == -1 ||
	        r.ctl_code != FSCTL_QUERY_NETWORK_INTERFACE_INFO ||
	        ifinfo_get(nodes, IFINFO_MAX, &n, r.output, r.output_len) == -1))
		return decide_close(CLOSE_BAD_MESSAGE);
	return our_list(m, asked, nodes, n, sign, list);
}
