/* refusals.c: pure: what turns clients away, each by a code, counted */
#include "config.h"

#include "stats/refusals.h"

#include "stats/stats.h"

#include <stdbool.h>

#define COUNTED(name) STAT_##name, CLOSE_COUNT, false
#define ENDS(name, end) STAT_##name, CLOSE_##end, false
#define EITHER(name, end) STAT_##name, CLOSE_##end, true
#define CLOSED(name) STAT_COUNT, CLOSE_##name, true

/*
 * What is answered is counted when it is, though its connection may end for it as well; or it is
 * either answered or the end.
 */
static const struct {
	const char *code;
	enum counter counter;
	enum close_reason reason;	/* of what is counted: how it ends, where it does */
	bool by_ends;			/* what ends is to be counted */
} kinds[] = {
	{ "smb1_refused", ENDS(smb1_refused, SMB1_REFUSED) },
	{ "dialect_refused", ENDS(dialects_refused, DIALECT_REFUSED) },
	{ "ntlm_refused", ENDS(ntlm_refused, NTLM_REFUSED) },
	{ "guest_refused", ENDS(guests_refused, GUEST_REFUSED) },
	{ "logon_unread", ENDS(logons_unread, LOGON_UNREAD) },
	{ "bind_denied_address", COUNTED(binds_refused_address) },
	{ "bind_other_node", COUNTED(binds_refused_node) },
	{ "gmac_refused", ENDS(ifinfo_gmac_refused, GMAC) },
	{ "unkeyed_refused", EITHER(unkeyed_refused, UNKEYED) },
	{ "no_node", CLOSED(NO_NODE) },
	{ "no_such_node", CLOSED(NO_SUCH_NODE) },
	{ "claim_elsewhere", CLOSED(CLAIM_ELSEWHERE) },
	{ "accept_rate", CLOSED(ACCEPT_RATE) },
	{ "unauthenticated_limit", CLOSED(UNAUTH_LIMIT) },
	{ "unauthenticated_source", CLOSED(UNAUTH_SOURCE) },
	{ "unauthenticated_memory", CLOSED(UNAUTH_MEMORY) },
	{ "connections_per_source", CLOSED(SOURCE_FULL) },
	{ "no_files", CLOSED(NO_FILES) },
};

size_t
refusals_kinds(void)
{
	return sizeof(kinds) / sizeof(kinds[0]);
}

const char *
refusals_code(size_t i)
{
	return kinds[i].code;
}

const char *
refusals_text(size_t i)
{
	return kinds[i].counter < STAT_COUNT ? stats_help(kinds[i].counter)
	                                     : close_text(kinds[i].reason);
}

uint64_t
refusals_count(size_t i, const struct stats *sum)
{
	return (kinds[i].counter < STAT_COUNT ? sum->count[kinds[i].counter] : 0) +
	    (kinds[i].by_ends ? sum->closed[kinds[i].reason] : 0);
}

uint64_t
refusals_all(const struct stats *sum)
{
	uint64_t n = 0;

	for (size_t i = 0; i < refusals_kinds(); i++)
		n += refusals_count(i, sum);
	return n;
}

int
refusals_of_counter(enum counter c)
{
	for (size_t i = 0; i < refusals_kinds(); i++)
		if (kinds[i].counter == c)
			return (int)i;
	return -1;
}

int
refusals_of_close(enum close_reason why)
{
	for (size_t i = 0; i < refusals_kinds(); i++)
		if (kinds[i].reason == why)
			return (int)i;
	return -1;
}
