/* nodewatch.c: the node-file is watched: whoever changes it need not tell smbgate */
#include "config.h"

#include "daemon/nodewatch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "policy/nodefile.h"
#include "policy/policy.h"
#include "policy/readfile.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <event2/event.h>

/* A file that is written in several steps is looked at once; none more than once a second. */
#define SETTLE_MS 100
#define PAUSE_MS 1000
/* A folder that is not there, or not any more, is looked for that often. */
#define LOOK_MS 5000

static const uint32_t watched = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
    IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

#define NODEWATCH_MAGIC 0x6e6f6477u

/* What folders: that of the path, and that of the file which it is a link to. */
enum { BY_PATH, BY_LINK, FOLDERS };

struct nodewatch {
	MAGIC_MEMBER
	int fd;			/* inotify's; -1: this machine gives none, and LOOK_MS has to do */
	struct event *io, *timer;
	void (*changed)(void *arg);
	void *arg;
	char *path;		/* NULL: there is none */
	char *seen;		/* its content; NULL: it could not be read */
	int wd[FOLDERS];	/* -1: not watched */
	uint64_t looked_ms;
};

static void
look_in(struct nodewatch *w, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(w->timer, &tv);
}

/* Watches the folder of a file, in place of another one that it watched. */
static void
watch_folder(struct nodewatch *w, unsigned which, const char *file)
{
	char folder[PATH_MAX];
	const char *slash = file == NULL ? NULL : strrchr(file, '/');
	int wd = -1;

	if (slash != NULL && w->fd != -1) {
		snprintf(folder, sizeof(folder), "%.*s", slash == file ? 1 : (int)(slash - file),
		    file);
		wd = inotify_add_watch(w->fd, folder, watched);
	}
	/* The same folder has the same number: also as the other one of the two. */
	if (w->wd[which] != -1 && w->wd[which] != wd && w->wd[which] != w->wd[!which])
		inotify_rm_watch(w->fd, w->wd[which]);
	w->wd[which] = wd;
}

static void
watch_folders(struct nodewatch *w)
{
	char real[PATH_MAX];

	watch_folder(w, BY_PATH, w->path);
	watch_folder(w, BY_LINK,
	    w->path != NULL && realpath(w->path, real) != NULL ? real : w->path);
}

static void
nodewatch_look(struct nodewatch *w)
{
	const char *why;
	char *text;
	bool same;

	w->looked_ms = clock_ms();
	if (w->path == NULL)
		return;
	/* Before it is read: what changes after that is an event again. */
	watch_folders(w);
	text = readfile(w->path, NODEFILE_MAX, &why);
	same = text == NULL ? w->seen == NULL : w->seen != NULL && strcmp(text, w->seen) == 0;
	free(w->seen);
	w->seen = text;
	if (w->wd[BY_PATH] == -1)
		look_in(w, LOOK_MS);
	if (!same)
		w->changed(w->arg);
}

static void
nodewatch_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct nodewatch *w = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, NODEWATCH_MAGIC);
	nodewatch_look(w);
}

/* Something has happened in a folder. To what is not asked: links lead through many names. */
static void
nodewatch_io_cb(evutil_socket_t fd, short what, void *arg)
{
	_Alignas(struct inotify_event) char events[4096];
	struct nodewatch *w = arg;
	uint64_t next = w->looked_ms + PAUSE_MS, now = clock_ms();

	(void)what;
	MAGIC_CHECK(w, NODEWATCH_MAGIC);
	while (read(fd, events, sizeof(events)) > 0)
		;
	if (!event_pending(w->timer, EV_TIMEOUT, NULL) || w->wd[BY_PATH] == -1)
		look_in(w, next > now + SETTLE_MS ? next - now : SETTLE_MS);
}

void
nodewatch_policy(struct nodewatch *w, const struct policy *p)
{
	bool same = w->path != NULL && p->node_file != NULL && strcmp(w->path, p->node_file) == 0;

	free(w->seen);
	w->seen = p->node_text == NULL ? NULL : strdup(p->node_text);
	if (same)
		return;
	free(w->path);
	w->path = p->node_file == NULL ? NULL : strdup(p->node_file);
	watch_folders(w);
	/* It may have changed between the reading and now. */
	if (w->path != NULL)
		look_in(w, SETTLE_MS);
	else
		event_del(w->timer);
}

struct nodewatch *
nodewatch_new(struct event_base *base, void (*changed)(void *arg), void *arg)
{
	struct nodewatch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	MAGIC_SET(w, NODEWATCH_MAGIC);
	w->changed = changed;
	w->arg = arg;
	w->wd[BY_PATH] = w->wd[BY_LINK] = -1;
	w->timer = evtimer_new(base, nodewatch_timer_cb, w);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd == -1)
		log_warn("a node-file is looked at every %d s only: %s", LOOK_MS / 1000,
		    strerror(errno));
	else
		w->io = event_new(base, w->fd, EV_READ | EV_PERSIST, nodewatch_io_cb, w);
	if (w->timer == NULL || (w->fd != -1 && (w->io == NULL || event_add(w->io, NULL) == -1)))
		nodewatch_free(&w);
	return w;
}

void
nodewatch_free(struct nodewatch **wp)
{
	struct nodewatch *w = *wp;

	if (w == NULL)
		return;
	if (w->io != NULL)
		event_free(w->io);
	if (w->timer != NULL)
		event_free(w->timer);
	if (w->fd != -1)
		close(w->fd);
	free(w->path);
	free(w->seen);
	MAGIC_CLEAR(w);
	free(w);
	*wp = NULL;
}
