/* gate_bind.c: what smbgate makes while it is privileged: its sockets, listening */
#include "config.h"

#include "daemon/gate.h"

#include "base/addr.h"
#include "base/log.h"
#include "daemon/ctl.h"
#include "daemon/http.h"
#include "daemon/listening.h"
#include "daemon/passed.h"
#include "daemon/takeover.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "proxy/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "::" means IPv4 too, as everywhere on Linux, unless another listener has that port on IPv4. */
static bool
takes_both(const struct conf *conf, const struct conf_listen *l)
{
	if (addr_is_v4(&l->address.addr) || !addr_is_unspecified(&l->address.addr))
		return false;
	for (size_t i = 0; i < conf->nlisten; i++)
		if (addr_is_v4(&conf->listen[i].address.addr) &&
		    conf->listen[i].address.port == l->address.port)
			return false;
	return true;
}

/* What can be done about it; "": nothing is known. */
static const char *
bind_cure(const struct conf_listen *l, int err)
{
	bool v6 = !addr_is_v4(&l->address.addr);

	switch (err) {
	case EADDRNOTAVAIL:
		return v6 ? "no interface has this address (or it is still being checked for "
		            "duplicates, or IPv6 is off): start smbgate after the network, or set "
		            "sysctl net.ipv6.ip_nonlocal_bind=1"
		          : "no interface has this address: start smbgate after the network; for "
		            "an address that moves (VRRP) set sysctl net.ipv4.ip_nonlocal_bind=1";
	case EADDRINUSE:
		return "another program has this port: \"ss -ltnp\" shows which; smbd can be "
		       "bound to other addresses with \"interfaces\" and \"bind interfaces only\"";
	case EACCES:
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EPERM:
		return l->intercept ? "intercept needs CAP_NET_RAW" : "";
	case EAFNOSUPPORT:
		return v6 ? "this kernel has no IPv6: use 0.0.0.0 in place of ::" : "";
	case EMFILE:
		return "raise LimitNOFILE (systemd) or ulimit -n";
	}
	return "";
}

/* Takes over fd, which is -1 where it could not be made. */
static int
add_listening(struct gate_sockets *s, int fd, unsigned worker, size_t listener)
{
	struct listening *more = fd == -1 ? NULL :
	    reallocarray(s->listening, s->nlistening + 1, sizeof(*more));

	if (more == NULL) {
		log_error("cannot listen: %s", strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	s->listening = more;
	more[s->nlistening++] = (struct listening){ fd, worker, listener };
	return 0;
}

/*
 * A listener that another smbgate has: its sockets, with all that waits in their queues. Of more of
 * them than we have workers some have several; of fewer, some share one. 1; 0: it has none; -1: it
 * is logged.
 */
static int
take_one_over(struct gate_sockets *s, const struct conf *conf, size_t i)
{
	const struct conf_listen *l = &conf->listen[i];
	const size_t first = s->nlistening;
	const char *why;
	int fd;

	while (s->takeover != NULL && (fd = takeover_socket(s->takeover, TAKE_LISTENER, NULL,
	           &l->address)) != -1) {
		why = listen_adopt(l, takes_both(conf, l), fd);
		if (why != NULL) {
			log_error("%s:%d: listen \"%s\": the socket of the running smbgate %s",
			    conf->path, l->line, l->name, why);
			close(fd);
			return -1;
		}
		if (add_listening(s, fd, (unsigned)(s->nlistening - first) % s->nworkers, i) == -1)
			return -1;
	}
	if (s->nlistening == first)
		return 0;
	for (size_t n = s->nlistening - first, k = n; k < s->nworkers; k++)
		if (add_listening(s, fcntl(s->listening[first + k % n].fd, F_DUPFD_CLOEXEC, 0),
		        (unsigned)k, i) == -1)
			return -1;
	return 1;
}

/* A listener for all workers. -1: it is logged. */
static int
bind_one(struct gate_sockets *s, const struct conf *conf, size_t i)
{
	const struct conf_listen *l = &conf->listen[i];
	char text[ADDR_STRLEN];
	int column[CONF_WORKERS_MAX], err, taken = take_one_over(s, conf, i), passed, r = 0;
	char why[PASSED_WHY];
	const char *cure;

	if (taken != 0)
		return taken == 1 ? 0 : -1;
	passed = passed_listener(&s->passed, l, takes_both(conf, l), column, s->nworkers, why);
	if (passed == -1) {
		log_error("%s:%d: listen \"%s\": %s", conf->path, l->line, l->name, why);
		return -1;
	}
	if (passed == 0 && listen_bind(l, takes_both(conf, l), column, s->nworkers) == -1) {
		err = errno;
		cure = bind_cure(l, err);
		log_error("%s:%d: listen \"%s\": cannot bind %s: %s%s%s", conf->path, l->line,
		    l->name, addrport_str(&l->address, text), strerror(err),
		    cure[0] == '\0' ? "" : ": ", cure);
		return -1;
	}
	for (unsigned w = 0; w < s->nworkers; w++)
		r |= add_listening(s, column[w], w, i);
	return r;
}

/* A service may be started by somebody who may do what we may not. */
static struct errlist *
by_rights(int err, struct errlist *e, struct errlist *w)
{
	return (err == EACCES || err == EPERM) && geteuid() != 0 ? w : e;
}

/*
 * Has the service manager started this very process? The sockets of a socket unit go to the program
 * of ExecStart= alone: to that of ExecStartPre= their ports are in use.
 */
static bool
is_unit_check(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");

	return pid != NULL && strtol(pid, NULL, 10) == (long)getpid();
}

/* A listener whose socket was passed. Was there one? */
static bool
try_passed(struct passed *p, const struct conf *conf, const struct conf_listen *l,
    struct errlist *e)
{
	int column[CONF_WORKERS_MAX];
	unsigned n = conf_workers(conf);
	char why[PASSED_WHY];
	int r = passed_listener(p, l, takes_both(conf, l), column, n, why);

	for (unsigned i = 0; r == 1 && i < n; i++)
		close(column[i]);
	if (r == -1)
		errlist_add(e, conf->path, l->line, "listen \"%s\": %s", l->name, why);
	return r != 0;
}

static void
try_listeners(const struct conf *conf, struct passed *p, bool runs, struct errlist *e,
    struct errlist *w)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];
		const char *cure;
		int err;

		if (try_passed(p, conf, l, e))
			continue;
		if (listen_try(l, takes_both(conf, l)) == 0 || (runs && errno == EADDRINUSE))
			continue;
		err = errno;
		cure = bind_cure(l, err);
		errlist_add(err == EADDRINUSE && is_unit_check() ? w : by_rights(err, e, w),
		    conf->path, l->line,
		    "listen \"%s\": cannot bind %s: %s%s%s", l->name,
		    addrport_str(&l->address, text), strerror(err), cure[0] == '\0' ? "" : ": ",
		    cure);
	}
}

struct unused {
	const struct conf *conf;
	struct errlist *w;		/* NULL: they are logged */
};

static void
unused_cb(void *arg, const char *name)
{
	static const char text[] = "the service manager has opened a socket named \"%s\", which "
	    "no listen has: it is closed here (FileDescriptorName= gives names)";
	const struct unused *u = arg;

	if (u->w == NULL)
		log_warn(text, name);
	else
		errlist_add(u->w, u->conf->path, 0, text, name);
}

void
gate_try(const struct conf *conf, struct errlist *e, struct errlist *w)
{
	struct unused u = { .conf = conf, .w = w };
	char text[ADDR_STRLEN], why[CTL_WHY], bad[PASSED_WHY];
	int control = ctl_try(conf->control, why);
	struct passed passed;

	if (passed_take(&passed, bad) == -1)
		errlist_add(e, conf->path, 0, "sockets from the service manager: %s", bad);

	if (control == -1)
		errlist_add(geteuid() == 0 ? e : w, conf->path, conf->control_line,
		    "control \"%s\": %s", conf->control, why);
	try_listeners(conf, &passed, control == 1, e, w);
	passed_close(&passed, unused_cb, &u);
	if (conf->http && http_try(conf) == -1 && !(control == 1 && errno == EADDRINUSE))
		errlist_add(by_rights(errno, e, w), conf->path, conf->http_line,
		    "http: cannot bind %s: %s", addrport_str(&conf->http_address, text),
		    strerror(errno));
}

/* The sockets in the file system: ours, or those of the smbgate that runs. */
static int
bind_unix(struct gate_sockets *s, const struct conf *conf)
{
	char path[CTL_PATH_MAX];

	if (s->takeover != NULL) {
		s->control = takeover_socket(s->takeover, TAKE_CONTROL, NULL, NULL);
		s->successors = takeover_socket(s->takeover, TAKE_SUCCESSORS, NULL, NULL);
		if (s->control != -1 && s->successors != -1)
			return ctl_readmit(conf->control, conf->control_group);
		log_error("takeover: the running smbgate has no control socket");
		return -1;
	}
	s->control = ctl_bind(conf->control, conf->control_group);
	if (s->control == -1 || ctl_successors_path(conf->control, path) == -1)
		return -1;
	s->successors = ctl_bind_successors(path);
	return s->successors == -1 ? -1 : 0;
}

int
gate_bind(struct gate_sockets *s, const struct conf *conf)
{
	struct unused u = { .conf = conf };
	int r = 0;

	s->nworkers = conf_workers(conf);
	/* All of them: what is wrong with one is not hidden by another. */
	for (size_t i = 0; i < conf->nlisten; i++)
		if (bind_one(s, conf, i) == -1)
			r = -1;
	passed_close(&s->passed, unused_cb, &u);
	if (r == -1)
		return -1;
	if (conf->http) {
		process_open(&s->process);
		if (s->takeover != NULL)
			s->http = takeover_socket(s->takeover, TAKE_HTTP, NULL,
			    &conf->http_address);
		if (s->http == -1 && (s->http = http_bind(conf)) == -1)
			return -1;
	}
	return bind_unix(s, conf);
}
