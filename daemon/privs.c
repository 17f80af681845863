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

static int
become_user(const struct conf *conf)
{
	const struct passwd *pw = getpwnam(conf->user);

	if (pw != NULL && chown(conf->control, pw->pw_uid, pw->pw_gid) == 0 &&
	    initgroups(pw->pw_name, pw->pw_gid) == 0 && setgid(pw->pw_gid) == 0 &&
	    setuid(pw->pw_uid) == 0)
		return 0;
	log_error("cannot become user \"%s\": %s", conf->user,
	    pw == NULL ? "no such user" : strerror(errno));
	return -1;
}

int
privs_drop(const struct conf *conf, bool raw, bool *has_raw)
{
	bool root = geteuid() == 0;

	*has_raw = raw && has_cap(CAP_NET_RAW);
	/* Session keys will be in here: no core, no ptrace by the same user. */
	prctl(PR_SET_DUMPABLE, 0);
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
	if ((root && become_user(conf) == -1) || keep_caps(*has_raw) == -1)
		return -1;
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	/* Once more: the change of the user has reset it. */
	prctl(PR_SET_DUMPABLE, 0);
	return 0;
}
