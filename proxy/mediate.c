/* mediate.c: what is done with a held message: noted, refused, rewritten or passed */
#include "config.h"

#include "proxy/mediate.h"

#include "base/clock.h"
#include "policy/policy.h"
#include "proxy/announce.h"
#include "proxy/node.h"
#include "proxy/rewrite.h"
#include "proxy/stats.h"
#include "smb/chain2.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/neg1.h"
#include "smb/neg2.h"
#include "smb/sess2.h"

#include <inttypes.h>
#include <string.h>

/*
 *	        requests                              answers
 *	NEGOTIATE      note                           facts of the connection
 *	SESSION_SETUP  binding? ─ forbidden ─► ECHO   channel of a session
 *	IOCTL          note an interface query        list decided and built anew
 *	LOGOFF         note                           session gone
 *	                                 ECHO's ────► the refusal
 *
 * A refused request is replaced by an ECHO with its MessageId, so that the node's MessageId window
 * and credits go on; the refusal is made of that ECHO's answer. Nothing is dropped or inserted.
 */

struct message {
	struct part2 part;
	const uint8_t *bytes;	/* part.len of them */
};

static struct outcome
outcome(enum outcome_act act)
{
	return (struct outcome){ .act = act };
}

static struct outcome
end(enum close_reason why)
{
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
}

static bool
may_log(struct mediate *m)
{
	unsigned left_out;

	if (!log_allow(&m->env->log, clock_ms(), &left_out))
		return false;
	if (left_out > 0)
		log_warn("%u lines about messages left out", left_out);
	return true;
}

/* Requests. Each returns 0, or -1 with the reason; *refuse: this message must not reach the node. */

static int
ask(struct mediate *m, const struct message *msg, struct pending p, enum close_reason *why)
{
	const struct part2 *part = &msg->part;

	p.message_id = part->hdr.message_id;
	p.session_id = part->session_id;
	p.tree_id = part->tree_id;
	p.process_id = part->hdr.process_id;
	p.command = part->hdr.command;
	return track_ask(&m->track, &p, why);
}

static int
negotiate_req(struct mediate *m, const struct message *msg, enum close_reason *why)
{
	struct track *t = &m->track;
	struct neg2_req r;

	/* [MS-SMB2] 3.3.5.4: one NEGOTIATE a connection; a second one ends it. */
	if (t->negotiating || t->negotiated) {
		*why = CLOSE_BAD_SEQUENCE;
		return -1;
	}
	if (neg2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	track_negotiate_req(t, &r);
	t->refuse_sealed = m->env->policy->unkeyed == POL_UNKEYED_REFUSE;
	return ask(m, msg, (struct pending){ .kind = PENDING_NEGOTIATE }, why);
}

/* May this bind go to the node? DESIGN: answers, not cuts; see the head of this file. */
static bool
bind_allowed(struct mediate *m, uint64_t session_id)
{
	char a[ADDR_STRLEN];

	if (!policy_allows(m->env->policy, &m->self.local.addr)) {
		stats_add(m->env->stats, STAT_binds_refused_address, 1);
		if (may_log(m))
			log_info("conn %" PRIu64 ": bind to session %016" PRIx64
			         " refused: %s is forbidden",
			    m->self.conn_id, session_id, addr_str(&m->self.local.addr, a));
		return false;
	}
	if (sesstab_elsewhere(m->env->sessions, session_id, m->node)) {
		stats_add(m->env->stats, STAT_binds_refused_node, 1);
		if (may_log(m))
			log_info("conn %" PRIu64 ": bind to session %016" PRIx64
			         " refused: it lives on another node than %s",
			    m->self.conn_id, session_id, m->node->name);
		return false;
	}
	return true;
}

static int
session_setup_req(struct mediate *m, const struct message *msg, bool *refuse,
    enum close_reason *why)
{
	struct pending p = { .kind = PENDING_SESSION_SETUP };
	struct sess2_req r;

	if (sess2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	p.binding = (r.flags & SMB2_SESSION_FLAG_BINDING) != 0;
	p.signing_required = (r.security_mode & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0;
	if (p.binding && !bind_allowed(m, msg->part.session_id)) {
		p.kind = PENDING_REFUSED;
		*refuse = true;
	}
	return ask(m, msg, p, why);
}

static int
ioctl_req(struct mediate *m, const struct message *msg, enum close_reason *why)
{
	struct ioctl2_req r;

	if (ioctl2_peek(msg->bytes, msg->part.len) != FSCTL_QUERY_NETWORK_INTERFACE_INFO)
		return 0;
	if (ioctl2_req_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	if ((msg->part.hdr.flags & SMB2_FLAGS_SIGNED) != 0 &&
	    m->env->policy->unkeyed == POL_UNKEYED_REFUSE) {
		*why = CLOSE_UNKEYED;
		return -1;
	}
	return ask(m, msg, (struct pending){ .kind = PENDING_IFINFO, .max_output = r.max_output },
	    why);
}

static int
request(struct mediate *m, const struct message *msg, struct rewrite *rw, enum close_reason *why)
{
	bool refuse = false;
	int r = 0;

	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
		r = negotiate_req(m, msg, why);
		break;
	case SMB2_SESSION_SETUP:
		r = session_setup_req(m, msg, &refuse, why);
		break;
	case SMB2_IOCTL:
		r = ioctl_req(m, msg, why);
		break;
	case SMB2_LOGOFF:
		r = ask(m, msg, (struct pending){ .kind = PENDING_LOGOFF }, why);
		break;
	default:
		break;
	}
	if (r == 0 && refuse) {
		echo2_put(rewrite_begin(rw, &msg->part), &msg->part.hdr);
		rewrite_end(rw, &msg->part);
	}
	return r;
}

/* Answers. */

static int
negotiate_resp(struct mediate *m, const struct message *msg, enum close_reason *why)
{
	struct neg2_resp r;

	if (msg->part.hdr.status != STATUS_SUCCESS) {
		m->track.negotiating = false;
		return 0;
	}
	if (neg2_resp_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	/* 0x02ff answers an SMB1 NEGOTIATE only, and those are not ours to see here. */
	if (r.dialect == SMB2_DIALECT_2FF) {
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	track_negotiate_resp(&m->track, &r);
	return 0;
}

static int
session_opened(struct mediate *m, const struct message *msg, const struct pending *asked,
    uint16_t flags, enum close_reason *why)
{
	struct track *t = &m->track;
	struct channel_info ci = m->self;
	struct session_info si = {
		.node = m->node,
		.session_id = msg->part.hdr.session_id,
		.dialect = t->dialect,
		.cipher = t->cipher,
		.signing = t->signing,
		.guest = (flags & SMB2_SESSION_FLAG_IS_GUEST) != 0,
		.anonymous = (flags & SMB2_SESSION_FLAG_IS_NULL) != 0,
		.sealed = (flags & SMB2_SESSION_FLAG_ENCRYPT_DATA) != 0,
		.client_guid = t->client_guid,
		.since_ms = clock_ms(),
	};
	struct channel *c;

	si.signing_required = !si.guest && !si.anonymous &&
	    (asked->signing_required ||
	        ((t->server_mode | t->client_mode) & SMB2_NEGOTIATE_SIGNING_REQUIRED) != 0);
	/* Policy wants every session seen, and this one will hide its messages or seal them. */
	if (m->env->policy->unkeyed == POL_UNKEYED_REFUSE && (si.signing_required || si.sealed)) {
		*why = CLOSE_UNKEYED;
		return -1;
	}
	t->logged_on = true;
	/* Reauthentication of a session that this connection has. */
	if (track_channel(t, si.session_id) != NULL)
		return 0;
	ci.bound = asked->binding;
	c = sesstab_join(m->env->sessions, &si, &ci);
	if (c == NULL) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	if (track_channel_add(t, c, why) == -1) {
		channel_leave(m->env->sessions, &c);
		return -1;
	}
	stats_add(m->env->stats, ci.bound ? STAT_channels_bound : STAT_sessions, 1);
	return 0;
}

static int
session_setup_resp(struct mediate *m, const struct message *msg, const struct pending *asked,
    enum close_reason *why)
{
	uint32_t status = msg->part.hdr.status;
	struct sess2_resp r;

	if (status == STATUS_MORE_PROCESSING_REQUIRED)
		return 0;
	if (status != STATUS_SUCCESS) {
		stats_add(m->env->stats, STAT_logon_failures, 1);
		return 0;
	}
	if (sess2_resp_get(&r, msg->bytes, msg->part.len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	return session_opened(m, msg, asked, r.session_flags, why);
}

static void
logoff_resp(struct mediate *m, const struct message *msg, const struct pending *asked)
{
	struct channel *c;

	if (msg->part.hdr.status != STATUS_SUCCESS)
		return;
	c = track_channel_take(&m->track, asked->session_id);
	if (c == NULL)
		return;
	channel_logoff(m->env->sessions, c);
	channel_leave(m->env->sessions, &c);
}

static void
told(struct mediate *m, const struct pending *asked, enum session_told what,
    const struct ifinfo *list, size_t n)
{
	struct channel *c = track_channel(&m->track, asked->session_id);

	if (c != NULL)
		channel_told(m->env->sessions, c, what, list, n);
}

/* The new answer to an interface query: our list under the node's header. */
static void
put_list(struct mediate *m, const struct message *msg, const struct pending *asked,
    const struct ifinfo *list, size_t n, struct rewrite *rw)
{
	uint8_t output[IFINFO_MAX * IFINFO_ENTRY_LEN];
	struct ioctl2_resp r = {
		.ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO,
		.output = output,
	};
	struct hdr2 h = msg->part.hdr;
	struct wr *w = rewrite_begin(rw, &msg->part);

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
	rewrite_end(rw, &msg->part);
}

static int
ifinfo_resp(struct mediate *m, const struct message *msg, const struct pending *asked,
    struct rewrite *rw, enum close_reason *why)
{
	const struct policy *p = m->env->policy;
	const struct pol_interfaces *sec = policy_interfaces(p, m->listener);
	enum pol_ifmode mode = sec == NULL ? POL_IF_ANNOUNCE : sec->mode;
	uint32_t status = msg->part.hdr.status;
	struct ifinfo nodes[IFINFO_MAX], list[IFINFO_MAX];
	struct ioctl2_resp r;
	size_t n = 0;

	/* The node's list did not fit; ours may. */
	bool ours = mode == POL_IF_ANNOUNCE && status == STATUS_BUFFER_TOO_SMALL;

	if (status != STATUS_SUCCESS && !ours) {
		stats_add(m->env->stats, STAT_ifinfo_errors, 1);
		told(m, asked, TOLD_ERROR, NULL, 0);
		return 0;
	}
	if ((msg->part.hdr.flags & SMB2_FLAGS_SIGNED) != 0) {
		stats_add(m->env->stats, STAT_ifinfo_opaque, 1);
		told(m, asked, TOLD_OPAQUE, NULL, 0);
		return 0;
	}
	if (mode == POL_IF_PASS) {
		stats_add(m->env->stats, STAT_ifinfo_passed, 1);
		told(m, asked, TOLD_NODES_LIST, NULL, 0);
		return 0;
	}
	if (status == STATUS_SUCCESS &&
	    (ioctl2_resp_get(&r, msg->bytes, msg->part.len) == -1 ||
	        r.ctl_code != FSCTL_QUERY_NETWORK_INTERFACE_INFO ||
	        ifinfo_get(nodes, IFINFO_MAX, &n, r.output, r.output_len) == -1)) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	n = announce(p, m->listener, &m->self.local.addr, nodes, n, list, IFINFO_MAX);
	put_list(m, msg, asked, list, n, rw);
	stats_add(m->env->stats, mode == POL_IF_FILTER ? STAT_ifinfo_filtered : STAT_ifinfo_announced,
	    1);
	told(m, asked, TOLD_LIST, list, n);
	return 0;
}

static void
refused_resp(const struct message *msg, const struct pending *asked, struct rewrite *rw)
{
	struct hdr2 h = hdr2_reply(&msg->part.hdr, STATUS_REQUEST_NOT_ACCEPTED,
	    msg->part.hdr.credits);

	h.command = asked->command;
	h.session_id = asked->session_id;
	h.tree_id = asked->tree_id;
	h.process_id = asked->process_id;
	err2_put(rewrite_begin(rw, &msg->part), &h);
	rewrite_end(rw, &msg->part);
}

static bool
is_asked_for(const struct message *msg)
{
	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return false;
	case SMB2_IOCTL:
		return msg->part.hdr.status != STATUS_SUCCESS ||
		    ioctl2_peek(msg->bytes, msg->part.len) != FSCTL_QUERY_NETWORK_INTERFACE_INFO;
	default:
		return true;
	}
}

static uint16_t
expected_command(const struct pending *p)
{
	return p->kind == PENDING_REFUSED ? SMB2_ECHO : p->command;
}

static int
answer(struct mediate *m, const struct message *msg, struct rewrite *rw, enum close_reason *why)
{
	const struct pending *found = track_asked(&m->track, msg->part.hdr.message_id);
	struct pending asked;
	int r = 0;

	if (found == NULL) {
		/* Most answers of a compound are none of our business; some must not come unasked. */
		if (is_asked_for(msg))
			return 0;
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	asked = *found;
	if (msg->part.hdr.command != expected_command(&asked)) {
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	/* Interim: the real answer follows, with the same MessageId, [MS-SMB2] 3.3.4.2. */
	if (msg->part.hdr.status == STATUS_PENDING &&
	    (msg->part.hdr.flags & SMB2_FLAGS_ASYNC_COMMAND) != 0)
		return 0;
	switch ((enum pending_kind)asked.kind) {
	case PENDING_NEGOTIATE:
		r = negotiate_resp(m, msg, why);
		break;
	case PENDING_SESSION_SETUP:
		r = session_setup_resp(m, msg, &asked, why);
		break;
	case PENDING_LOGOFF:
		logoff_resp(m, msg, &asked);
		break;
	case PENDING_IFINFO:
		r = ifinfo_resp(m, msg, &asked, rw, why);
		break;
	case PENDING_REFUSED:
		refused_resp(msg, &asked, rw);
		break;
	}
	track_answered(&m->track, asked.message_id);
	return r;
}

static struct outcome
messages(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	const uint8_t *first = frame + NBSS_HDR_LEN;
	enum close_reason why = CLOSE_BAD_MESSAGE;
	struct chain2 chain;
	struct message msg;
	struct rewrite rw;
	size_t n;
	int r;

	rewrite_init(&rw, frame, len, m->env->edit, sizeof(m->env->edit));
	chain2_init(&chain, first, len - NBSS_HDR_LEN);
	while ((r = chain2_next(&chain, &msg.part)) == 1) {
		msg.bytes = first + msg.part.off;
		r = dir == C2S ? request(m, &msg, &rw, &why) : answer(m, &msg, &rw, &why);
		if (r == -1)
			return end(why);
	}
	if (r == -1)
		return end(CLOSE_BAD_CHAIN);
	if (!rw.changed)
		return outcome(OUTCOME_PASS);
	n = rewrite_finish(&rw);
	if (n == 0)
		return end(CLOSE_LONG_FRAME);
	return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = m->env->edit, .len = n };
}

/* SMB1 answers that are held: the one that chooses SMB1, and those to logons. */
static struct outcome
smb1_answer(struct mediate *m, const uint8_t *msg, size_t len)
{
	struct hdr1 h;

	if (hdr1_get(&h, msg, len) == -1)
		return end(CLOSE_BAD_MESSAGE);
	m->track.smb1 = true;
	m->track.max_frame = 0xffffff;
	if (h.command == SMB1_COM_SESSION_SETUP_ANDX && h.status == STATUS_SUCCESS)
		m->track.logged_on = true;
	return outcome(OUTCOME_PASS);
}

struct outcome
mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	stats_add(m->env->stats, STAT_held, 1);
	if (dir == S2C && frame[NBSS_HDR_LEN] == 0xff)
		return smb1_answer(m, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN);
	return messages(m, dir, frame, len);
}

void
mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_info *self)
{
	*m = (struct mediate){ .env = env, .listener = listener, .self = *self };
	track_init(&m->track);
}

void
mediate_fini(struct mediate *m)
{
	struct channel *c;

	while ((c = track_channel_any(&m->track)) != NULL)
		channel_leave(m->env->sessions, &c);
	track_fini(&m->track);
}
