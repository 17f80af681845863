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
	void (*say)(void *arg, const char *text);
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
find(struct findings *f, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	f->n++;
	f->say(f->arg, line);
}

/* What rules further channels out whatever the client was told. */
static void
find_limits(struct findings *f, const struct session_info *si)
{
	if (si->dialect < SMB2_DIALECT_300)
		find(f, "multichannel came with SMB 3.0, and this connection agreed on less");
	if (si->guest || si->anonymous)
		find(f, "a guest's or anonymous session takes no further channel");
	if (si->dialect >= SMB2_DIALECT_300 && !si->client_multichannel)
		find(f, "the client did not offer multichannel when it connected");
	else if (si->dialect >= SMB2_DIALECT_300 && !si->node_multichannel)
		find(f, "node %s did not offer multichannel", si->node->name);
}

static void
find_told(struct findings *f, const struct session_info *si)
{
	char text[ADDR_STRLEN];

	switch (si->query) {
	case QUERY_NEVER:
		find(f, "the client has not asked for the server's interfaces");
		break;
	case QUERY_OPAQUE:
		find(f, "it was told the node's own addresses, not ours: the answer was signed, and there is "
		        "no key%s%s", si->opaque_because != NULL ? ": " : "",
		        si->opaque_because != NULL ? si->opaque_because : "");
		break;
	case QUERY_GMAC:
		find(f, "it was told the node's own addresses: GMAC left no way to change them, and "
		        "gmac = pass");
		break;
	case QUERY_REFUSED:
		find(f, "its query was refused: GMAC left no way to answer it, and gmac = refuse");
		break;
	case QUERY_NODES:
		find(f, "it was told the node's own addresses, as mode = pass has it");
		break;
	case QUERY_ERROR:
		find(f, "the node refused its query, or the list did not fit its buffer");
		break;
	case QUERY_OURS:
		if (si->nlist == 0)
			find(f, "it was told no address: policy forbids every one");
		else if (si->nlist == 1 && (si->list[0].capability & IFINFO_RSS_CAPABLE) == 0)
			find(f, "it was told one address, %s, without RSS: clients open one channel to it",
			    addr_str(&si->list[0].addr, text));
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
			find(f, "it came in through %s, which policy forbids: it is told that address "
			        "alone, and channels cannot be bound there",
			    addr_str(&channels[i].ends.local.addr, text));
}

void
explain(const struct policy *p, const struct session_info *si, const struct channel_info *channels,
    size_t n, void (*say)(void *arg, const char *text), void *arg)
{
	struct findings f = { .say = say, .arg = arg };

	find_limits(&f, si);
	find_addresses(&f, p, channels, n);
	find_told(&f, si);
	if (!si->keyed && si->opaque_because != NULL && si->query != QUERY_OPAQUE)
		find(&f, "smbgate cannot see into it: %s", si->opaque_because);
	if (n > 1)
		find(&f, "it has %zu channels", n);
	else if (f.n == 0)
		find(&f, "nothing here stands in the way of further channels: it is the client's choice");
}
