/* trace.c: what is decided of a held message, in words, for who traces its connection */
#include "config.h"

#include "inspect/trace.h"

#include "inspect/mech.h"
#include "nodes/node.h"
#include "smb/const.h"
#include "smb/names.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const commands[] = {
	[SMB2_NEGOTIATE] = "negotiate",
	[SMB2_SESSION_SETUP] = "logon",
	[SMB2_LOGOFF] = "logoff",
};

static const char *const mechs[] = {
	[MECH_UNREAD] = "its token was not read",
	[MECH_KERBEROS] = "Kerberos",
	[MECH_NTLM] = "NTLM",
	[MECH_NTLM_USER] = "NTLM, a user is named",
};

/* As the rows of doc/KEYS.md. */
static const char *const ways[] = {
	[WAY_NONE] = "",
	[WAY_PASS] = "pass: the node's list, by policy",
	[WAY_PLAIN] = "plain: unsigned, no key is needed",
	[WAY_OPAQUE] = "opaque: signed, and there is no key",
	[WAY_LIFT] = "lift: it goes on sealed",
	[WAY_RESIGN] = "resign: the answer will be signed anew",
	[WAY_RESEAL] = "reseal: the answer will be sealed anew",
	[WAY_VOUCH] = "vouch: the session's FLUSH goes in its place",
	[WAY_SUBSTITUTE] = "substitute: an ECHO goes in its place",
	[WAY_GMAC] = "gmac: the answer will pass, for GMAC leaves no way",
	[WAY_DOUBT] = "doubt: the session may be over, and GMAC leaves no way",
	[WAY_REFUSE] = "refuse: GMAC leaves no way",
	[WAY_UNKEYED] = "unkeyed: there is no key, and policy refuses",
};

static void __attribute__((format(printf, 3, 4)))
say(const struct mediate *m, const char *event, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	m->env->trace(m->owner, event, line);
}

/* What becomes of a request. */
static const char *
fate(const struct decision *d, char dst[128])
{
	switch (d->act) {
	case DECIDE_NOTE:
		return "goes on";
	case DECIDE_STAND_IN:
		return "another request goes on in its place";
	case DECIDE_REFUSE:
		snprintf(dst, 128, "refused with 0x%08" PRIx32 "%s%s", d->status,
		    d->text != NULL ? ": " : "", d->text != NULL ? d->text : "");
		return dst;
	case DECIDE_WAIT:
		return "waits";
	case DECIDE_CLOSE:
		return close_text(d->why);
	default:
		return "passes";
	}
}

void
trace_request(const struct mediate *m, const struct message *msg, const struct decision *d)
{
	const uint16_t command = msg->part.hdr.command;
	const struct pending *p = &d->pending;
	char text[128];

	if (msg->way != WAY_NONE)
		say(m, "query", "session 0x%016" PRIx64 " asks for interfaces: %s; %s",
		    msg->part.session_id, ways[msg->way], fate(d, text));
	else if (command == SMB2_SESSION_SETUP)
		say(m, p->binding ? "bind" : "logon", "session 0x%016" PRIx64 ", %s: %s",
		    msg->part.session_id,
		    d->act == DECIDE_NOTE && !p->binding ? mechs[p->mech] : "its request",
		    fate(d, text));
	else if (command <= SMB2_LOGOFF)
		say(m, commands[command], "%s", fate(d, text));
	else if (d->act != DECIDE_PASS)
		say(m, "request", "command 0x%04x: %s", command, fate(d, text));
}

static void
negotiated(const struct mediate *m)
{
	const struct track *t = &m->track;
	char guid[GUID_STRLEN];
	const char *dialect = smb_dialect_name(t->dialect);

	say(m, "negotiate", "dialect %s, signing %s, cipher %s, multichannel: client %s, node %s; "
	    "client %s", dialect == NULL ? "?" : dialect,
	    smb_signing_name(t->dialect, t->signing), smb_cipher_name(t->cipher),
	    (t->client_caps & SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0 ? "yes" : "no",
	    (t->server_caps & SMB2_GLOBAL_CAP_MULTI_CHANNEL) != 0 ? "yes" : "no",
	    guid_str(&t->client_guid, guid));
}

/* "the client is told announced list: 10.1.0.5, 10.1.0.6" */
static void
told_list(const struct mediate *m, const struct decision *d)
{
	char list[384] = "", a[ADDR_STRLEN];
	size_t len = 0;

	for (size_t i = 0; i < d->nlist && len < sizeof(list) - ADDR_STRLEN; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
		    i == 0 ? ": " : ", ", addr_str(&d->list[i].addr, a));
	say(m, "told", "%s%s", query_result_str(d->query), list);
}

static void
logon_answer(const struct mediate *m, const struct pending *asked, uint32_t status)
{
	const char *event = asked->binding ? "bind" : "logon";

	if (status == STATUS_MORE_PROCESSING_REQUIRED)
		say(m, event, "the node goes on with it");
	else
		say(m, event, "the node %s: 0x%08" PRIx32,
		    status == STATUS_SUCCESS ? "accepts" : "refuses", status);
}

void
trace_answer(const struct mediate *m, const struct message *msg, const struct pending *asked,
    const struct decision *d)
{
	const uint32_t status = msg->part.hdr.status;

	switch ((enum pending_kind)asked->kind) {
	case PENDING_NEGOTIATE:
		if (m->track.negotiated)
			negotiated(m);
		break;
	case PENDING_SESSION_SETUP:
		logon_answer(m, asked, status);
		break;
	case PENDING_LOGOFF:
		say(m, "logoff", "session 0x%016" PRIx64 ": 0x%08" PRIx32, asked->session_id,
		    status);
		break;
	case PENDING_IFINFO:
		told_list(m, d);
		break;
	case PENDING_REFUSED:
		say(m, "refused", "the client is told 0x%08" PRIx32, asked->status);
		break;
	case PENDING_NEIGHBOUR:
		break;
	}
	if (d->act == DECIDE_WAIT)
		say(m, "wait", "the answer waits for the key of the logon");
	if (d->act == DECIDE_CLOSE)
		say(m, "refused", "%s", close_text(d->why));
}

void
trace_session(const struct mediate *m, const struct session_info *si, bool bound)
{
	const char *none = si->anonymous    ? "anonymous: it has no key"
	    : si->guest                     ? "a guest's: it has no key"
	    : si->opaque_because != NULL    ? si->opaque_because
	    : si->signing_required          ? "signed, and there is no key"
	                                    : "unsigned";

	say(m, "session", "0x%016" PRIx64 " of %s on node %s%s: %s%s", si->session_id,
	    si->principal != NULL ? si->principal : "somebody", si->node->name,
	    bound ? ", a further channel" : "", si->keyed ? "keyed" : "no key: ",
	    si->keyed ? "" : none);
}
