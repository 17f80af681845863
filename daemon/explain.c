/* explain.c: pure: why a client uses, or does not use, several channels */
#include "config.h"

#include "daemon/explain.h"

#include "auth/nokey.h"
#include "inspect/query_seen.h"
#include "inspect/session_info.h"
#include "nodes/node.h"
#include "policy/acl.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/names.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
explain_code_str(enum explain_code c)
{
	static const char *const codes[] = {
#define REASON(code, blocks, fix) [EXPLAIN_##code] = #code,
#include "daemon/explain.tbl.h"
#undef REASON
	};

	return codes[c];
}

/* It holds, and this is said of it. */
static bool __attribute__((format(printf, 2, 3)))
holds(struct explain_reason *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	return true;
}

/* Where lines of the policy are. */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

void
explain_where_line(const char *path, int line, char dst[EXPLAIN_WHERE])
{
	dst[0] = '\0';
	if (line > 0)
		snprintf(dst, EXPLAIN_WHERE, "%.80s:%d", base_name(path), line);
}

void
explain_where_rule(const struct policy *p, const char *policy_name, const struct addr *a,
    char dst[EXPLAIN_WHERE])
{
	const struct acl *acl = p->addresses;
	const struct acl_rule *r = acl_decides(acl, a);

	/* Where some are allowed, all others are forbidden: the first line that does so. */
	for (size_t i = 0; r == NULL && i < acl->n; i++)
		if (!acl->rules[i].deny)
			r = &acl->rules[i];
	dst[0] = '\0';
	if (r != NULL && r->file <= p->ndeny_files)
		explain_where_line(r->file == 0 ? policy_name : p->deny_files[r->file - 1],
		    r->line, dst);
}

static void
where_denied(const struct explain_facts *f, const struct addr *a, char dst[EXPLAIN_WHERE])
{
	dst[0] = '\0';
	if (!policy_allows(f->policy, a))
		explain_where_rule(f->policy, f->policy_name, a, dst);
}

/* The listener's list stands in the place of the node's. */
static void
where_announced(const struct explain_facts *f, char dst[EXPLAIN_WHERE])
{
	const struct pol_interfaces *sec = policy_interfaces(f->policy, f->listener);

	dst[0] = '\0';
	if (sec != NULL && sec->mode == POL_IF_ANNOUNCE)
		explain_where_line(f->policy_name, sec->mode_line, dst);
}

void
explain_where_removed(const struct explain_facts *f, const struct addr *a, char dst[EXPLAIN_WHERE])
{
	const struct query_seen *q = f->session == NULL ? NULL : f->session->asked;

	where_denied(f, a, dst);
	if (dst[0] == '\0' && q != NULL)
		where_denied(f, &q->via, dst);
	if (dst[0] == '\0')
		where_announced(f, dst);
}

/* The facts, asked in several ways. */

static const struct refusal *
refused(const struct explain_facts *f, const char *code)
{
	for (size_t i = 0; i < f->nrefused; i++)
		if (strcmp(refusals_code(f->refused[i]->kind), code) == 0)
			return f->refused[i];
	return NULL;
}

/* The same, if that was the end: nobody has logged on since. */
static const struct refusal *
kept_out(const struct explain_facts *f, const char *code, struct explain_reason *r)
{
	const struct refusal *x = refused(f, code);

	if (x == NULL || (f->session != NULL && f->session->since_ms > x->at_ms))
		return NULL;
	r->at_ms = x->at_ms;
	return x;
}

/* Of a session: it could have further channels, as far as both ends go. */
static bool
able(const struct session_info *si)
{
	return si->dialect >= SMB2_DIALECT_300 && !si->guest && !si->anonymous &&
	    si->client_multichannel && si->node_multichannel;
}

static bool
has_asked(const struct explain_facts *f)
{
	return f->session != NULL && f->session->query != QUERY_NEVER;
}

/* What is said as long as nothing was asked: the client cannot be seen. */
static bool
is_hidden(const struct explain_facts *f)
{
	const struct session_info *si = f->session;
	const char *why = si->opaque_because;

	return !si->keyed && (si->sealed || f->unreadable ||
	    (why != NULL && strstr(why, "encrypts") != NULL));
}

/* All that its client has here are further channels of a session that began elsewhere. */
static bool
is_from_elsewhere(const struct explain_facts *f)
{
	for (size_t i = 0; i < f->nchannels; i++)
		if (!f->channels[i].bound)
			return false;
	return f->nchannels > 0;
}

/* The list that the client was told, if it was told one that is known; NULL: none. */
static const struct query_seen *
told_list(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = has_asked(f) ? f->session->asked : NULL;

	if (q == NULL || (f->session->query != QUERY_OURS &&
	    (f->session->query != QUERY_NODES || q->ntold == 0)))
		return NULL;
	r->at_ms = q->at_ms;
	return q;
}

/* How many interfaces have the greatest speed, and how many there are; rss: one has that. */
struct told_count {
	unsigned all, fastest;
	bool rss;
};

static bool
is_again(const struct query_seen *q, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (q->list[k].ifindex == q->list[i].ifindex)
			return true;
	return false;
}

static struct told_count
count_told(const struct query_seen *q)
{
	struct told_count n = { .all = 0 };
	uint64_t top = 0;

	if (q == NULL)
		return n;
	for (size_t i = 0; i < q->ntold; i++)
		if (q->list[i].link_speed > top)
			top = q->list[i].link_speed;
	for (size_t i = 0; i < q->ntold; i++) {
		n.rss |= (q->list[i].capability & IFINFO_RSS_CAPABLE) != 0;
		/* An IPv4 and an IPv6 address may be of one. */
		if (is_again(q, i))
			continue;
		n.all++;
		n.fastest += q->list[i].link_speed == top;
	}
	return n;
}

/* The judges, one a code: does it hold, and what is to be said of it? */

static bool
judge_on(const struct explain_facts *f, struct explain_reason *r)
{
	char text[256] = "", one[ADDR_STRLEN];
	size_t len = 0;

	if (f->session == NULL || f->nchannels < 2)
		return false;
	for (size_t i = 0; i < f->nchannels && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? ", " : "",
		    addrport_str(&f->channels[i].ends.client, one));
	return holds(r, "%zu channels, from %s", f->nchannels, text);
}

static bool
judge_smb1(const struct explain_facts *f, struct explain_reason *r)
{
	if (f->smb1)
		return holds(r, "the client speaks SMB1");
	return f->session == NULL && kept_out(f, "smb1_refused", r) != NULL &&
	    holds(r, "the client speaks SMB1, and policy refuses that");
}

static bool
judge_dialect_below_3(const struct explain_facts *f, struct explain_reason *r)
{
	const uint16_t d = f->session != NULL ? f->session->dialect : f->dialect;

	if (d != 0 && d < SMB2_DIALECT_300 && !f->smb1)
		return holds(r, "the dialect, %s, has no multichannel: that came with SMB 3.0",
		    smb_dialect_name(d));
	return f->session == NULL && kept_out(f, "dialect_refused", r) != NULL &&
	    holds(r, "policy refused the client: its dialects are older than min-dialect");
}

static bool
judge_guest(const struct explain_facts *f, struct explain_reason *r)
{
	const struct session_info *si = f->session;

	if (si != NULL && (si->guest || si->anonymous))
		return holds(r, "a guest's or anonymous session cannot have further channels");
	return kept_out(f, "guest_refused", r) != NULL &&
	    holds(r, "policy refused the client: it logged on as a guest, or as nobody");
}

static bool
judge_client_no_multichannel(const struct explain_facts *f, struct explain_reason *r)
{
	const struct session_info *si = f->session;

	return si != NULL && si->dialect >= SMB2_DIALECT_300 && !si->client_multichannel &&
	    holds(r, "the client did not offer multichannel in NEGOTIATE");
}

static bool
judge_node_no_multichannel(const struct explain_facts *f, struct explain_reason *r)
{
	const struct session_info *si = f->session;

	return si != NULL && si->dialect >= SMB2_DIALECT_300 && si->client_multichannel &&
	    !si->node_multichannel &&
	    holds(r, "node %s did not offer multichannel in NEGOTIATE", si->node->name);
}

static bool
judge_bind_denied_address(const struct explain_facts *f, struct explain_reason *r)
{
	const struct refusal *x = refused(f, "bind_denied_address");
	char from[ADDR_STRLEN], to[ADDR_STRLEN];

	if (x == NULL)
		return false;
	r->at_ms = x->at_ms;
	where_denied(f, &x->local.addr, r->where);
	return holds(r, "a further channel from %s was refused: policy forbids the address that "
	    "it came to, %s", addrport_str(&x->client, from), addr_str(&x->local.addr, to));
}

static bool
judge_bind_other_node(const struct explain_facts *f, struct explain_reason *r)
{
	const struct refusal *x = refused(f, "bind_other_node");
	char from[ADDR_STRLEN];

	if (x == NULL)
		return false;
	r->at_ms = x->at_ms;
	return holds(r, "a further channel from %s was refused: it was placed on node %s, and its "
	    "session lives on another one", addrport_str(&x->client, from),
	    x->node[0] == '\0' ? "?" : x->node);
}

static bool
judge_unkeyed_refused(const struct explain_facts *f, struct explain_reason *r)
{
	return kept_out(f, "unkeyed_refused", r) != NULL &&
	    holds(r, "its connection was ended: the session signs or encrypts, smbgate has no "
	        "key for it, and unkeyed = refuse");
}

static bool
judge_opaque(const struct explain_facts *f, struct explain_reason *r)
{
	const struct session_info *si = f->session;
	enum nokey_cause cause;
	const char *why;

	if (si == NULL || session_protection(si) != SESSION_OPAQUE)
		return false;
	why = si->opaque_because != NULL ? si->opaque_because :
	    si->sealed ? "no key: encryption is required" : "no key: signing is required";
	cause = f->keytab ? (enum nokey_cause)si->cause : NOKEY_no_keytab;
	r->cause = nokey_word(cause);
	r->fix = nokey_fix(cause);
	r->at_ms = si->since_ms;
	r->blocks = si->query == QUERY_NEVER || si->query == QUERY_OPAQUE;
	if (si->query == QUERY_OPAQUE)
		return holds(r, "the client got the node's own addresses: the answer was signed, "
		    "and smbgate has no key: %s", why);
	return holds(r, "smbgate cannot change the session's messages: %s", why);
}

static bool
judge_gmac_refused(const struct explain_facts *f, struct explain_reason *r)
{
	const struct session_info *si = f->session;

	return (si != NULL ? si->query == QUERY_REFUSED : kept_out(f, "gmac_refused", r) != NULL) &&
	    holds(r, "the client's query for the server's interfaces was refused: AES-GMAC left "
	        "no way to answer it");
}

static bool
judge_gmac_passed(const struct explain_facts *f, struct explain_reason *r)
{
	(void)r;
	return f->session != NULL && f->session->query == QUERY_GMAC &&
	    holds(r, "the client got the node's own addresses: AES-GMAC left no way to change "
	        "them, and gmac = pass");
}

static bool
judge_asked_via_denied(const struct explain_facts *f, struct explain_reason *r)
{
	const struct addr *via = NULL;
	char text[ADDR_STRLEN];

	if (has_asked(f) && f->session->asked != NULL &&
	    !policy_allows(f->policy, &f->session->asked->via))
		via = &f->session->asked->via;
	for (size_t i = 0; i < f->nchannels && via == NULL; i++)
		if (!policy_allows(f->policy, &f->channels[i].ends.local.addr))
			via = &f->channels[i].ends.local.addr;
	if (via == NULL)
		return false;
	where_denied(f, via, r->where);
	return holds(r, "a channel came in through %s, which policy forbids: a client there is "
	    "told that address alone, and can bind no channels", addr_str(via, text));
}

static bool
judge_told_none(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = told_list(f, r);

	if (q == NULL || q->ntold > 0)
		return false;
	if (q->nremoved > 0)
		explain_where_removed(f, &query_seen_removed(q)->addr, r->where);
	return holds(r, "the client got an empty list: policy forbids every address");
}

static bool
judge_list_too_small(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = has_asked(f) ? f->session->asked : NULL;

	if (q == NULL || !q->too_small)
		return false;
	r->at_ms = q->at_ms;
	return holds(r, "the list of addresses did not fit where the client wanted it");
}

static bool
judge_node_error(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = has_asked(f) ? f->session->asked : NULL;

	if (!has_asked(f) || f->session->query != QUERY_ERROR || (q != NULL && q->too_small))
		return false;
	r->at_ms = q == NULL ? 0 : q->at_ms;
	return holds(r, "the node refused the client's query for the server's interfaces, or its "
	    "answer cannot be read");
}

static bool
judge_told_one(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = told_list(f, r);
	const struct told_count n = count_told(q);
	char text[ADDR_STRLEN];

	if (n.all != 1 || n.rss)
		return false;
	if (q->nremoved > 0)
		explain_where_removed(f, &query_seen_removed(q)->addr, r->where);
	else if (f->session->query == QUERY_OURS)
		where_announced(f, r->where);
	return holds(r, "the client got one address, %s, without RSS: clients open one channel to "
	    "that", addr_str(&q->list[0].addr, text));
}

static bool
judge_told_slower(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = told_list(f, r);
	const struct told_count n = count_told(q);

	if (n.all < 2 || n.fastest != 1 || n.rss)
		return false;
	where_announced(f, r->where);
	return holds(r, "the client got %u addresses, and all but one are slower: clients use the "
	    "fastest alone", n.all);
}

static bool
judge_told_no_rss(const struct explain_facts *f, struct explain_reason *r)
{
	const struct query_seen *q = told_list(f, r);
	const struct told_count n = count_told(q);

	if (n.all < 2 || n.fastest < 2 || n.rss)
		return false;
	where_announced(f, r->where);
	return holds(r, "the client got %u addresses, all without RSS: a client with one interface "
	    "opens one channel to these", n.all);
}

static bool
judge_unseen(const struct explain_facts *f, struct explain_reason *r)
{
	if (f->session == NULL || has_asked(f) || !able(f->session))
		return false;
	if (is_from_elsewhere(f))
		return holds(r, "whether the client has asked for the server's interfaces was not "
		    "seen here: its session began at another proxy");
	return is_hidden(f) &&
	    holds(r, "whether the client has asked for the server's interfaces cannot be seen: it "
	        "encrypts, and smbgate has no key");
}

/* Nobody has logged on. */
static bool
no_session(const struct explain_facts *f, struct explain_reason *r)
{
	const struct refusal *x = f->nrefused > 0 ? f->refused[0] : NULL;

	if (f->connections > 0)
		return holds(r, "the client has not logged on yet, and asks for the server's "
		    "interfaces after that");
	if (x != NULL) {
		r->at_ms = x->at_ms;
		return holds(r, "the client is not connected; what was refused to it last: %s (%s)",
		    refusals_code(x->kind), refusals_text(x->kind));
	}
	return holds(r, "the client is not connected; its claim is kept for another %" PRIu64 " s",
	    f->linger_s);
}

static bool
judge_not_asked(const struct explain_facts *f, struct explain_reason *r)
{
	if (f->session == NULL)
		return no_session(f, r);
	if (has_asked(f) || !able(f->session) || is_hidden(f) || is_from_elsewhere(f))
		return false;
	r->at_ms = f->session->since_ms;
	return holds(r, "the client has not asked for the server's interfaces");
}

static bool
judge_zero_guid(const struct explain_facts *f, struct explain_reason *r)
{
	return f->zero_guid &&
	    holds(r, "the client's GUID is zeros, as many a library sends it: nodes take all such "
	        "clients for one, so that they share a node");
}

static bool
judge_nothing_in_the_way(const struct explain_facts *f, struct explain_reason *r)
{
	(void)f;
	return holds(r, "nothing prevents further channels: to open them is the client's choice");
}

static const struct {
	bool (*judge)(const struct explain_facts *f, struct explain_reason *r);
	bool blocks;
	const char *fix;
} rows[] = {
#define REASON(code, blocks, fix) [EXPLAIN_##code] = { judge_##code, blocks, fix },
#include "daemon/explain.tbl.h"
#undef REASON
};

size_t
explain(const struct explain_facts *f, struct explain_reason dst[EXPLAIN_CODES])
{
	bool on = false, blocked = false;
	size_t n = 0;

	for (enum explain_code c = 0; c < EXPLAIN_CODES; c++) {
		struct explain_reason *r = &dst[n];

		if (c == EXPLAIN_nothing_in_the_way && (on || blocked))
			break;
		*r = (struct explain_reason){ .code = c, .blocks = rows[c].blocks,
			.fix = rows[c].fix };
		if (!rows[c].judge(f, r))
			continue;
		on |= c == EXPLAIN_on;
		r->blocks = r->blocks && !on;
		blocked |= r->blocks;
		n++;
	}
	return n;
}

const struct explain_reason *
explain_verdict(const struct explain_reason *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (r[i].blocks || r[i].code == EXPLAIN_on)
			return &r[i];
	return &r[n - 1];
}
