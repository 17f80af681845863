/* preflight.c: what a start would meet on this machine, before there is one: smbgate -t */
#include "config.h"

#include "daemon/preflight.h"

#include "daemon/gate.h"
#include "daemon/guard.h"
#include "daemon/keyfiles.h"
#include "daemon/listeners.h"
#include "daemon/privs.h"
#include "daemon/warnings.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Only here: at a start it would be said of nearly every listener that is not for multichannel. */
static void
warn_silent_listeners(const struct conf *conf, const struct policy *p, struct errlist *w)
{
	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];

		if (!l->intercept && policy_interfaces(p, l->name) == NULL)
			errlist_add(w, conf->path, l->line,
			    "listen \"%s\": there is no section interfaces \"%s\" in %s: its "
			    "clients are told one address without RSS, so they use no "
			    "multichannel",
			    l->name, l->name, conf->policy);
	}
}

/* As gate_check() finds it at the start; a service may have rights that we have not. */
static void
check_raw(const struct conf *conf, const struct policy *p, struct errlist *e, struct errlist *w)
{
	const struct pol_listener *clients = policy_source(p, POL_SOURCE_TRANSPARENT);

	if (clients != NULL && !privs_may_raw())
		errlist_add(geteuid() == 0 ? e : w, conf->policy, clients->source_line,
		    "source = transparent needs CAP_NET_RAW");
}

static void
warn_pid_file(const struct conf *conf, struct errlist *w)
{
	const char *path = conf->pid_file, *slash = path == NULL ? NULL : strrchr(path, '/');
	char *dir;

	if (slash == NULL)
		return;
	dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (dir != NULL && (access(path, F_OK) == 0 ? access(path, W_OK) : access(dir, W_OK)) == -1)
		errlist_add(w, conf->path, conf->pid_line, "pid-file %s cannot be written: %s",
		    path, strerror(errno));
	free(dir);
}

void
preflight(const struct conf *conf, const struct policy *p, struct errlist *e, struct errlist *w)
{
	warnings_find(conf, p, w);
	warn_silent_listeners(conf, p, w);
	warn_pid_file(conf, w);
	keyfiles_keytab(conf, true, w);
	listeners_check(conf, p, e);
	gate_try(conf, e, w);
	guard_try(conf, e);
	check_raw(conf, p, e, w);
}
