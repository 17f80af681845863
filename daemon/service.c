/* service.c: what the service manager is told: ready, how it stands, reloading, stopping */
#include "config.h"

#include "daemon/service.h"

#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "daemon/ready.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "state/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define SERVICE_MAGIC 0x53455256u

#define STATUS_MAX 128

struct service {
	MAGIC_MEMBER
	const struct ctl_env *env;
	struct event *tick;
	bool watched;			/* the manager has a watchdog */
	bool starved;			/* and it was not fed the last time */
	char status[STATUS_MAX];	/* as it was told last */
};

static void __attribute__((format(printf, 1, 2)))
service_tell(const char *fmt, ...)
{
#ifdef HAVE_LIBSYSTEMD
	char text[STATUS_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Where there is nobody to tell, nobody is told. */
	(void)sd_notify(0, text);
#else
	(void)fmt;
#endif
}

/* Is there a watchdog that wants to hear of this process? */
static bool
has_watchdog(void)
{
#ifdef HAVE_LIBSYSTEMD
	uint64_t us;

	return sd_watchdog_enabled(0, &us) > 0;
#else
	return false;
#endif
}

/* "2 of 2 nodes up, 1005 clients, policy 7" */
static void
write_status(const struct ctl_env *env, char text[STATUS_MAX])
{
	struct node *all[2 * POL_NODES_MAX];
	size_t n = nodes_all(env->nodes, all, 2 * POL_NODES_MAX), up = 0, listed = 0;
	uint64_t clients = 0;

	for (size_t i = 0; i < n; i++) {
		listed += all[i]->listed;
		up += all[i]->listed && node_takes_new(all[i]);
		clients += state_clients(env->claims, all[i]->id);
		node_unref(&all[i]);
	}
	snprintf(text, STATUS_MAX, "%zu of %zu node%s up, %" PRIu64 " client%s, policy %u", up,
	    listed, listed == 1 ? "" : "s", clients, clients == 1 ? "" : "s",
	    env->status->policy->generation);
}

static void
tell_status(struct service *s)
{
	char now[STATUS_MAX];

	write_status(s->env, now);
	if (strcmp(now, s->status) == 0)
		return;
	memcpy(s->status, now, sizeof(s->status));
	service_tell("STATUS=%s", s->status);
}

/* Not while a worker hangs: the manager then kills smbgate, and starts it again. */
static void
feed_watchdog(struct service *s)
{
	const char *why = ready_live(s->env);

	if (why == NULL)
		service_tell("WATCHDOG=1");
	else if (!s->starved)
		log_error("%s: the watchdog is not fed any more", why);
	s->starved = why != NULL;
}

static void
service_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(s, SERVICE_MAGIC);
	tell_status(s);
	if (s->watched)
		feed_watchdog(s);
}

struct service *
service_new(const struct ctl_env *env)
{
	struct service *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	MAGIC_SET(s, SERVICE_MAGIC);
	s->env = env;
	s->watched = has_watchdog();
	s->tick = event_new(env->base, -1, EV_PERSIST, service_tick_cb, s);
	if (s->tick == NULL)
		service_free(&s);
	return s;
}

void
service_free(struct service **sp)
{
	struct service *s = *sp;

	if (s == NULL)
		return;
	if (s->tick != NULL)
		event_free(s->tick);
	MAGIC_CLEAR(s);
	free(s);
	*sp = NULL;
}

void
service_ready(struct service *s)
{
	const struct timeval second = { 1, 0 };

	MAGIC_CHECK(s, SERVICE_MAGIC);
	write_status(s->env, s->status);
	service_tell("READY=1\nSTATUS=%s", s->status);
	if (getenv("NOTIFY_SOCKET") != NULL && event_add(s->tick, &second) == -1)
		log_error("out of memory: the service manager is not told any more");
}

void
service_works(void)
{
	if (has_watchdog())
		service_tell("WATCHDOG=1");
}

void
service_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	service_tell("RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void
service_stopping(void)
{
	service_tell("STOPPING=1");
}

void
service_handed(uint32_t pid)
{
	service_tell("MAINPID=%" PRIu32, pid);
	/* Nothing that is said from now on is of the service. */
	unsetenv("NOTIFY_SOCKET");
}

void
service_describe(char notify[SERVICE_NOTIFY], bool *watched)
{
	const char *path = getenv("NOTIFY_SOCKET");

	snprintf(notify, SERVICE_NOTIFY, "%s", path == NULL ? "" : path);
	*watched = has_watchdog();
}

void
service_inherit(const char *notify, bool watched)
{
	if (notify[0] == '\0')
		return;
	setenv("NOTIFY_SOCKET", notify, 1);
	/* What it said of a program that was started by the manager was of another process. */
	unsetenv("WATCHDOG_PID");
	if (watched)
		setenv("WATCHDOG_USEC", "1000000", 1);
	else
		unsetenv("WATCHDOG_USEC");
}
