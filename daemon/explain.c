/* explain.c: pure: why a session's client uses, or does not use, several channels */
#include "config.h"

#include "daemon/explain.h"

#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "smb/const.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct findings {
	void (*emit)(void *arg, const char *text);
	void *arg;
	unsigned n;
};

bool
explain_names(const char *who, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	char text[ADDR_STRLEN], id[32];

	snprintf(id, sizeof(id), "0x%016" PRIx64, si->session_id);
	if (strcasecmp(who, id) == 0 || strcasecmp(who, id + 2) == 0 ||
	    strcasecmp(who, guid_str(&si->client_guid, text)) == 0 ||
	    (who[0] != '\0' && si->principal != NULL && strcasestr(si->principal, who) != NULL))
		return true;
	for (size_t i = 0; i < n; i++)
		if (strcmp(who, addr_str(&channels[i].ends.client.addr, text)) == 0)
			return true;
	return false;
}

static void __attribute__((format(printf, 2, 3)))
add_finding(struct findings *f, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	f->n++;
	f->emit(f->arg, line);
}

/* What rules further channels out, whatever interfaces the client was told. */
static void
find_limits(struct findings *f, const struct session_info *si)
{
	if (si->dialect < SMB2_DIALECT_300)
		add_finding(f, "the dialect has no multichannel: that came with SMB 3.0");
	if (si->guest || si->anonymous)
		add_finding(f, "a guest's or anonymous session cannot have further channels");
	if (si->dialect >= SMB2_DIALECT_300 && !si->client_multichannel)
		add_finding(f, "the client did not offer multichannel in NEGOTIATE");
	else if (si->dialect >= SMB2_DIALECT_300 && !si->node_multichannel)
		add_finding(f, "node %s did not offer multichannel in NEGOTIATE", si->node->name);
}

static void
find_list(struct findings *f, const struct session_info *si)
{
	char text[ADDR_STRLEN];

	if (si->nlist == 0)
		add_finding(f, "the client got an empty list: policy forbids every address");
	else if (si->nlist == 1 && (si->list[0].capability & IFINFO_RSS_CAPABLE) == 0)
		add_finding(f, "the client got one address, %s, without RSS: clients open one "
		    "channel to that", addr_str(&si->list[0].addr, text));
}

/* What the last query for the server's interfaces came to. */
static void
find_query(struct findings *f, const struct session_info *si)
{
	const char *because = si->opaque_because;

	switch (si->query) {
	case QUERY_NEVER:
		add_finding(f, "the client has not asked for the server's interfaces");
		break;
	case QUERY_OPAQUE:
		add_finding(f, "the client got the node's own addresses: the answer was signed, "
		    "and smbgate has no key%s%s", because != NULL ? ": " : "",
		    because != NULL ? because : "");
		break;
	case QUERY_GMAC:
		add_finding(f, "the client got the node's own addresses: GMAC left no way to "
		    "change them, and gmac = pass");
		break;
	case QUERY_REFUSED:
		add_finding(f, "the client's query was refused: GMAC left no way to answer it, and "
		    "gmac = refuse");
		break;
	case QUERY_NODES:
		add_finding(f, "the client got the node's own addresses, because of mode = pass");
		break;
	case QUERY_ERROR:
		add_finding(f, "the node refused the client's query, or the list did not fit into "
		    "the client's buffer");
		break;
	case QUERY_OURS:
		find_list(f, si);
		break;
	}
}

static void
find_addresses(struct findings *f, const struct policy *p, const struct channel_info *channels,
    size_t n)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < n; i++)
		if (!policy_allows(p, &channels[i].ends.local.addr))
			add_finding(f, "a channel came in through %s, which policy forbids: a "
			    "client there is told that address alone, and can bind no channels",
			    addr_str(&channels[i].ends.local.addr, text));
}

void
explain(const struct policy *p, const struct session_info *si, const struct channel_info *channels,
    size_t n, void (*emit)(void *arg, const char *text), void *arg)
{
	struct findings f = { .emit = emit, .arg = arg };

	find_limits(&f, si);
	find_addresses(&f, p, channels, n);
	find_query(&f, si);
	if (!si->keyed && si->opaque_because != NULL && si->query != QUERY_OPAQUE)
		add_finding(&f, "smbgate cannot change the session's messages: %s",
		    si->opaque_because);
	if (n > 1)
		add_finding(&f, "the session has %zu channels", n);
	else if (f.n == 0)
		add_finding(&f, "nothing prevents further channels: to open them is the client's "
		    "choice");
}
