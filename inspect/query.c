/* query.c: interface queries: which way each goes, and the list that is its answer */
#include "config.h"

#include "inspect/query.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "inspect/announce.h"
#include "inspect/view.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <string.h>

static enum pol_ifmode
mode_of(const struct mediate *m)
{
	return announce_mode(m->env->policy, m->listener, m->intercept);
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

static struct channel *
channel_of(const struct mediate *m, const struct message *msg)
{
	return track_channel(&m->track, msg->part.session_id);
}

/* The channel's signing key, or NULL: the session is opaque or not known. */
static const struct signkey *
key_of(const struct mediate *m, uint64_t session_id)
{
	const struct channel *c = track_channel(&m->track, session_id);

	return c == NULL || m->env->crypt == NULL ? NULL : channel_signing(c);
}

/*
 * A query that the node would answer with a list, [MS-SMB2] 3.3.5.15.11: anything else gets its
 * error from the node itself.
 */
static bool
well_formed(const struct mediate *m, const struct ioctl2_req *r)
{
	static const uint8_t any_file[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return m->track.dialect >= SMB2_DIALECT_300 && r->flags == SMB2_IOCTL_IS_FSCTL &&
	    r->input_count == 0 && memcmp(r->file_id, any_file, sizeof(any_file)) == 0;
}

/* Does the node do multichannel at all? As it said to this client, or to the health probe. */
static bool
multichannel(const struct mediate *m)
{
	return ((m->track.server_caps | node_capabilities(m->node)) &
	           SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0;
}

/* The list does not depend on the node's, and the query has its frame for itself. */
static bool
can_substitute(const struct mediate *m, const struct view *v, const struct ioctl2_req *r)
{
	return v->alone && mode_of(m) == POL_IF_ANNOUNCE && well_formed(m, r) && multichannel(m);
}

/* Signed under GMAC: a changed answer must not be signed by the node too. */
static bool
needs_lift(const struct mediate *m, const struct view *v, const struct message *msg)
{
	const struct signkey *k = key_of(m, msg->part.session_id);
	struct ioctl2_req r;

	return !v->sealed && is_query(msg) && is_signed(msg) && k != NULL &&
	    k->alg == SMB2_SIGNING_AES_GMAC && mode_of(m) != POL_IF_PASS &&
	    ioctl2_req_get(&r, msg->bytes, msg->part.len) == 0 && !can_substitute(m, v, &r);
}

/* A neighbour of the query that can go with it: signed by the same session, and no logon. */
static bool
can_lift(struct mediate *m, const struct message *msg, uint64_t session_id)
{
	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
	case SMB2_CANCEL:
		return false;
	default:
		return msg->part.session_id == session_id && is_signed(msg) &&
		    view_signature_good(m, msg);
	}
}

void
query_way(struct mediate *m, struct view *v)
{
	struct message msg;
	struct chain2 chain;
	struct smbkeys *keys;
	uint64_t session_id = 0;
	bool wanted = false;

	chain2_init(&chain, v->msg, v->len);
	while (!wanted && chain2_next(&chain, &msg.part) == 1) {
		msg.bytes = v->msg + msg.part.off;
		wanted = needs_lift(m, v, &msg);
		session_id = msg.part.session_id;
	}
	keys = wanted ? track_keys(&m->track, session_id) : NULL;
	if (keys == NULL || keys->cipher == 0)
		return;
	chain2_init(&chain, v->msg, v->len);
	while (chain2_next(&chain, &msg.part) == 1) {
		msg.bytes = v->msg + msg.part.off;
		if (!can_lift(m, &msg, session_id))
			return;
	}
	v->lift = true;
	v->keys = keys;
	v->session_id = session_id;
}

/* Nobody's answer can be changed here: what policy says for that case. */
static int
gmac_req(struct mediate *m, struct view *v, const struct message *msg, const struct pending *p,
    enum close_reason *why)
{
	if (m->env->policy->gmac != POL_GMAC_REFUSE)
		return view_ask(m, v, msg, *p, why);
	stats_add(m->env->stats, STAT_ifinfo_gmac_refused, 1);
	channel_told(m->env->sessions, channel_of(m, msg), TOLD_REFUSED, NULL, 0);
	/* In a compound the ECHO would take the session from the messages related to it. */
	if (!v->alone) {
		*why = CLOSE_GMAC;
		return -1;
	}
	return view_refuse(m, v, msg, STATUS_NOT_SUPPORTED, true, why);
}

static int
substitute(struct mediate *m, struct view *v, const struct message *msg, struct pending p,
    enum close_reason *why)
{
	p.kind = PENDING_SUBSTITUTED;
	p.sealed = v->sealed;
	if (view_ask(m, v, msg, p, why) == -1)
		return -1;
	view_echo(v, msg);
	return 0;
}

int
query_req(struct mediate *m, struct view *v, const struct message *msg, enum close_reason *why)
{
	struct pending p = { .kind = PENDING_IFINFO };
	uint16_t alg;
	struct ioctl2_req r;

	if (!is_query(msg))
		return 0;
	if (ioctl2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	p.max_output = r.max_output;
	p.lifted = v->lift;
	if (v->lift)
		return view_ask(m, v, msg, p, why);
	if (v->sealed)
		return can_substitute(m, v, &r) ? substitute(m, v, msg, p, why)
		                                : view_ask(m, v, msg, p, why);
	if (is_signed(msg) && key_of(m, msg->part.session_id) == NULL &&
	    m->env->policy->unkeyed == POL_UNKEYED_REFUSE) {
		*why = CLOSE_UNKEYED;
		return -1;
	}
	/* Unsigned, opaque or forged: the node says what it thinks of it. */
	if (!is_signed(msg) || !view_signature_good(m, msg))
		return view_ask(m, v, msg, p, why);
	/* Now: a neighbour with a bad signature may cost the session its keys. */
	alg = key_of(m, msg->part.session_id)->alg;
	if (can_substitute(m, v, &r))
		return substitute(m, v, msg, p, why);
	if (alg == SMB2_SIGNING_AES_GMAC && mode_of(m) != POL_IF_PASS)
		return gmac_req(m, v, msg, &p, why);
	return view_ask(m, v, msg, p, why);
}

static void
told(struct mediate *m, const struct pending *asked, enum session_told what,
    const struct ifinfo *list, size_t n)
{
	struct channel *c = track_channel(&m->track, asked->session_id);

	if (c != NULL)
		channel_told(m->env->sessions, c, what, list, n);
}

/* The answer: our list under the header h. */
static int
put_list(struct mediate *m, struct view *v, const struct message *msg, struct hdr2 h,
    const struct pending *asked, const struct ifinfo *nodes, size_t n, const struct signkey *k,
    enum close_reason *why)
{
	uint8_t output[IFINFO_MAX * IFINFO_ENTRY_LEN];
	struct ifinfo list[IFINFO_MAX];
	struct ioctl2_resp r = {
		.ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO,
		.output = output,
	};
	struct wr *w = view_begin(v, msg);

	n = announce(m->env->policy, m->listener, mode_of(m), &m->self.local.addr, nodes, n, list,
	    IFINFO_MAX);
	memset(r.file_id, 0xff, sizeof(r.file_id));
	r.output_len = ifinfo_put(output, sizeof(output), list, n);
	if (r.output_len > asked->max_output) {
		/* A list is never cut: [MS-SMB2] 3.3.5.15.11. */
		stats_add(m->env->stats, STAT_ifinfo_too_small, 1);
		h.status = STATUS_BUFFER_TOO_SMALL;
		err2_put(w, &h);
	} else {
		h.status = STATUS_SUCCESS;
		ioctl2_resp_put(w, &h, &r);
	}
	if (view_end(m, v, msg, k) == -1) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	stats_add(m->env->stats,
	    mode_of(m) == POL_IF_FILTER ? STAT_ifinfo_filtered : STAT_ifinfo_announced, 1);
	told(m, asked, TOLD_LIST, list, n);
	return 0;
}

/*
 * May the node's answer be changed? 1: yes, and *k is what it must be signed with again. 0: it goes
 * on as it is. -1: the connection ends.
 */
static int
changeable(struct mediate *m, const struct view *v, const struct message *msg,
    const struct pending *asked, const struct signkey **k, enum close_reason *why)
{
	*k = NULL;
	if (v->sealed || !is_signed(msg))
		return 1;
	*k = key_of(m, asked->session_id);
	if (*k == NULL) {
		stats_add(m->env->stats, STAT_ifinfo_opaque, 1);
		told(m, asked, TOLD_OPAQUE, NULL, 0);
		return 0;
	}
	if ((*k)->alg == SMB2_SIGNING_AES_GMAC && m->env->policy->gmac != POL_GMAC_RESIGN) {
		stats_add(m->env->stats, STAT_ifinfo_gmac_passed, 1);
		told(m, asked, TOLD_GMAC, NULL, 0);
		return 0;
	}
	if (!sign_good(m->env->crypt, *k, msg->bytes, msg->part.len)) {
		*why = CLOSE_BAD_SIGNATURE;
		return -1;
	}
	return 1;
}

int
query_resp(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why)
{
	enum pol_ifmode mode = mode_of(m);
	uint32_t status = msg->part.hdr.status;
	struct ifinfo nodes[IFINFO_MAX];
	const struct signkey *k;
	struct ioctl2_resp r;
	size_t n = 0;
	int may;

	/* The node's list did not fit; ours may. */
	bool ours = mode == POL_IF_ANNOUNCE && status == STATUS_BUFFER_TOO_SMALL;

	if (status != STATUS_SUCCESS && !ours) {
		stats_add(m->env->stats, STAT_ifinfo_errors, 1);
		told(m, asked, TOLD_ERROR, NULL, 0);
		return 0;
	}
	if (mode == POL_IF_PASS) {
		stats_add(m->env->stats, STAT_ifinfo_passed, 1);
		told(m, asked, TOLD_NODES_LIST, NULL, 0);
		return 0;
	}
	may = changeable(m, v, msg, asked, &k, why);
	if (may != 1)
		return may;
	if (status == STATUS_SUCCESS &&
	    (ioctl2_resp_get(&r, msg->bytes, msg->part.len) == -1 ||
	        r.ctl_code != FSCTL_QUERY_NETWORK_INTERFACE_INFO ||
	        ifinfo_get(nodes, IFINFO_MAX, &n, r.output, r.output_len) == -1)) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	return put_list(m, v, msg, msg->part.hdr, asked, nodes, n, k, why);
}

int
query_substituted(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why)
{
	struct hdr2 h = hdr2_reply(&msg->part.hdr, msg->part.hdr.status, msg->part.hdr.credits);
	const struct signkey *k = key_of(m, asked->session_id);

	/* The session may have ended in between: then nobody waits for this any more. */
	if (k == NULL || !v->alone || v->sealed) {
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	h.command = asked->command;
	h.session_id = asked->session_id;
	h.tree_id = asked->tree_id;
	h.process_id = asked->process_id;
	if (asked->sealed) {
		v->seal = true;
		v->session_id = asked->session_id;
		v->keys = track_keys(&m->track, asked->session_id);
		k = NULL;
	}
	if (h.status == STATUS_SUCCESS)
		return put_list(m, v, msg, h, asked, NULL, 0, k, why);
	/* An ECHO that fails is the node's word on the connection. */
	err2_put(view_begin(v, msg), &h);
	if (view_end(m, v, msg, k) == -1) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	return 0;
}
