/* audit.c: logons, binds and logoffs, each a line of the log: who, how, and with which status */
#include "config.h"

#include "inspect/audit.h"

#include "base/log.h"
#include "inspect/caller.h"
#include "inspect/decision.h"
#include "inspect/env.h"
#include "smb/names.h"
#include "stats/refusals.h"

#include <inttypes.h>
#include <stdio.h>

/* What people look for; [MS-ERREF] 2.3.1 has the others. */
static const char *
status_words(uint32_t status)
{
	static const struct {
		uint32_t status;
		const char *words;
	} all[] = {
		{ 0xc0000022, "access denied" },
		{ 0xc000005e, "no domain controller answers" },
		{ 0xc0000064, "no such user" },
		{ 0xc000006a, "wrong password" },
		{ 0xc000006d, "wrong user name or password" },
		{ 0xc000006e, "the account is restricted" },
		{ 0xc000006f, "not at this time of day" },
		{ 0xc0000071, "the password has expired" },
		{ 0xc0000072, "the account is disabled" },
		{ 0xc0000133, "the clocks differ" },
		{ 0xc0000193, "the account has expired" },
		{ 0xc0000203, "there is no such session" },
		{ 0xc0000224, "the password must be changed" },
		{ 0xc0000234, "the account is locked out" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].status == status)
			return all[i].words;
	return NULL;
}

/* NULL: not known. */
static const char *
named(const struct caller *by)
{
	return by == NULL || by->user[0] == '\0' ? NULL : by->user;
}

static const char *
or_somebody(const char *user)
{
	return user == NULL ? "somebody" : user;
}

/* "guest logon of bob" */
static const char *
logon_text(char dst[192], const char *user, bool guest, bool anonymous)
{
	if (anonymous && user == NULL)
		snprintf(dst, 192, "anonymous logon");
	else
		snprintf(dst, 192, "%slogon of %s",
		    guest ? "guest " : anonymous ? "anonymous " : "", or_somebody(user));
	return dst;
}

static struct log_fields
session_fields(const struct mediate *m, enum log_event event, const struct session_info *si)
{
	struct log_fields f = mediate_log(m, event);

	f.session = si->session_id;
	f.user = si->principal != NULL ? si->principal : named(si->by);
	f.dialect = smb_dialect_name(si->dialect);
	f.signing = smb_signing_name(si->dialect, si->signing);
	f.cipher = smb_cipher_name(si->cipher);
	f.protection = session_protection_str(session_protection(si));
	return f;
}

void
audit_logon(const struct mediate *m, const struct session_info *si, bool again)
{
	const struct log_fields f = session_fields(m, LOG_EVENT_LOGON, si);
	char text[192];

	log_conn(LOG_LEVEL_INFO, f, "%s%s (session 0x%016" PRIx64 ", %s, %s)",
	    logon_text(text, f.user, si->guest, si->anonymous), again ? " again" : "", f.session,
	    f.dialect, f.protection);
}

void
audit_bind(const struct mediate *m, const struct session_info *si)
{
	const struct log_fields f = session_fields(m, LOG_EVENT_BIND, si);

	log_conn(LOG_LEVEL_INFO, f, "one more channel of session 0x%016" PRIx64 " of %s (%s, %s)",
	    f.session, or_somebody(f.user), f.dialect, f.protection);
}

void
audit_logon1(const struct mediate *m, const struct caller *by, bool guest)
{
	const bool anonymous = by != NULL && by->how == CALLER_NOBODY;
	struct log_fields f = mediate_log(m, LOG_EVENT_LOGON);
	char text[192];

	f.user = named(by);
	f.dialect = "1";
	log_conn(LOG_LEVEL_INFO, f, "%s (SMB1)", logon_text(text, f.user, guest, anonymous));
}

void
audit_failed(const struct mediate *m, const struct caller *by, uint64_t session_id, bool binding,
    uint32_t status)
{
	struct log_fields f = mediate_log(m, binding ? LOG_EVENT_BIND_REFUSED
	                                             : LOG_EVENT_LOGON_FAILED);

	f.session = session_id;
	f.user = named(by);
	f.status = status;
	f.reason = status_words(status);
	log_conn(LOG_LEVEL_INFO, f, "%s of %s failed: 0x%08" PRIx32 "%s%s%s",
	    binding ? "bind" : "logon", or_somebody(f.user), status, f.reason != NULL ? " (" : "",
	    f.reason != NULL ? f.reason : "", f.reason != NULL ? ")" : "");
}

void
audit_refused(const struct mediate *m, const struct caller *by, uint64_t session_id,
    const struct decision *d)
{
	const int kind = refusals_of_counter(d->counts[0]);
	struct log_fields f = mediate_log(m, LOG_EVENT_LOGON_FAILED);
	char dialled[ADDR_STRLEN];

	f.session = session_id;
	f.user = named(by);
	f.status = d->status;
	f.code = kind < 0 ? NULL : refusals_code((size_t)kind);
	f.reason = d->text;
	log_conn(LOG_LEVEL_INFO, f, "%s of %s (session 0x%016" PRIx64 ", dialled %s)", d->text,
	    or_somebody(f.user), session_id, addr_str(&m->self.local.addr, dialled));
}

void
audit_logoff(const struct mediate *m, uint64_t session_id)
{
	struct log_fields f = mediate_log(m, LOG_EVENT_LOGOFF);

	f.session = session_id;
	log_conn(LOG_LEVEL_INFO, f, "logoff (session 0x%016" PRIx64 ")", session_id);
}
