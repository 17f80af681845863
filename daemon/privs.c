/* privs.c: who smbgate becomes once its sockets are bound, and the capability that it keeps */
#include "config.h"

#include "daemon/privs.h"

#include "base/log.h"
#include "policy/conf.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void
privs_begin(void)
{
	cap_t caps = cap_get_proc();

	/* The ambient set goes with it. Giving up is always allowed. */
	if (caps == NULL || cap_clear_flag(caps, CAP_INHERITABLE) == -1 || cap_set_proc(caps) == -1)
		log_warn("cannot clear inheritable capabilities: %s", strerror(errno));
	cap_free(caps);
}

static bool
has_cap(cap_value_t cap)
{
	cap_flag_value_t v = CAP_CLEAR;
	cap_t caps = cap_get_proc();

	if (caps != NULL && cap_get_flag(caps, cap, CAP_PERMITTED, &v) == -1)
		v = CAP_CLEAR;
	cap_free(caps);
	return v == CAP_SET;
}

bool
privs_may_raw(void)
{
	return has_cap(CAP_NET_RAW);
}

/* Nothing but CAP_NET_RAW, or nothing. */
static int
keep_caps(bool raw)
{
	static const cap_value_t list[] = { CAP_NET_RAW };
	cap_t caps = cap_init();
	int r = -1;

	if (caps != NULL && (!raw || (cap_set_flag(caps, CAP_PERMITTED, 1, list, CAP_SET) == 0 &&
	        cap_set_flag(caps, CAP_EFFECTIVE, 1, list, CAP_SET) == 0)))
		r = cap_set_proc(caps);
	if (r == -1)
		log_error("cannot give up capabilities: %s", strerror(errno));
	cap_free(caps);
	return r;
}

/* Without CAP_CHOWN, as in smbgate.service, it stays root's. */
static int
give_control(const struct conf *conf, const struct passwd *pw)
{
	/* The group of control-group has it already. */
	if (chown(conf->control, pw->pw_uid,
	        conf->control_group != NULL ? (gid_t)-1 : pw->pw_gid) == 0)
		return 0;
	return errno == EPERM && !has_cap(CAP_CHOWN) ? 0 : -1;
}

static int
become_user(const struct conf *conf, bool serve)
{
	const struct passwd *pw = getpwnam(conf->user);

	if (pw != NULL && (!serve || give_control(conf, pw) == 0) &&
	    initgroups(pw->pw_name, pw->pw_gid) == 0 && setgid(pw->pw_gid) == 0 &&
	    setuid(pw->pw_uid) == 0)
		return 0;
	log_error("cannot become user \"%s\": %s", conf->user,
	    pw == NULL ? "no such user" : strerror(errno));
	return -1;
}

/* Nothing that might be executed may get what smbgate has given up. */
static void
empty_bounding_set(void)
{
	/* Not allowed: whoever started smbgate has cut the set, or runs it without privileges. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return;
}

void
privs_guard(void)
{
	static const cap_value_t list[] = { CAP_SETUID, CAP_SETGID };
	cap_t had = cap_get_proc(), caps = cap_init();
	int r = had == NULL || caps == NULL ? -1 : 0;

	for (cap_value_t c = 0; r == 0 && prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
		cap_flag_value_t has = CAP_CLEAR;
		bool keep = false;

		for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
			keep |= list[i] == c;
		/* Not allowed: whoever started smbgate has cut the set, or is not root. */
		if (!keep)
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
		if (keep && cap_get_flag(had, c, CAP_PERMITTED, &has) == 0 && has == CAP_SET &&
		    (cap_set_flag(caps, CAP_PERMITTED, 1, &c, CAP_SET) == -1 ||
		        cap_set_flag(caps, CAP_EFFECTIVE, 1, &c, CAP_SET) == -1))
			r = -1;
	}
	if (r == 0)
		r = cap_set_proc(caps);
	if (r == -1)
		log_warn("the guard cannot give up capabilities: %s", strerror(errno));
	cap_free(had);
	cap_free(caps);
}

int
privs_try(const struct conf *conf)
{
	return conf->user == NULL || geteuid() != 0 ? 0 : become_user(conf, false);
}

int
privs_drop(const struct conf *conf, bool raw, bool *has_raw)
{
	const struct rlimit none = { 0, 0 };
	bool root = geteuid() == 0;

	*has_raw = raw && has_cap(CAP_NET_RAW);
	empty_bounding_set();
	/* Session keys will be in here: no core, no ptrace by the same user. */
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (root && conf->user == NULL) {
		log_warn("smbgate runs as root: set user in %s", conf->path);
		return 0;
	}
	if (!root && conf->user != NULL)
		log_info("not started as root: user \"%s\" is ignored", conf->user);
	/* A change of the user would clear capabilities; execve() resets this. */
	if (root && *has_raw && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1) {
		log_error("cannot keep CAP_NET_RAW: %s", strerror(errno));
		return -1;
	}
	if ((root && become_user(conf, true) == -1) || keep_caps(*has_raw) == -1)
		return -1;
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	/* Once more: the change of the user has reset it. */
	prctl(PR_SET_DUMPABLE, 0);
	return 0;
}
