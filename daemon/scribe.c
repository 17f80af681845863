/* scribe.c: a thread of its own for long answers: whoever asks does not keep others waiting */
#include "config.h"

#include "daemon/scribe.h"

#include "base/log.h"
#include "base/magic.h"
#include "proxy/mailbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Clients come first where there are fewer processors than threads. */
#define NICE 10

#define SCRIBE_MAGIC 0x5c21be00u

struct scribe_list {
	struct scribe_job *first, **end;
};

struct scribe {
	MAGIC_MEMBER
	struct mailbox *mailbox;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;		/* of all that follows */
	pthread_cond_t changed;
	struct scribe_list todo, ready;
	bool runs, ends;
};

static void
list_init(struct scribe_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void
list_add(struct scribe_list *l, struct scribe_job *j)
{
	j->next = NULL;
	*l->end = j;
	l->end = &j->next;
}

static struct scribe_job *
list_take(struct scribe_list *l)
{
	struct scribe_job *j = l->first;

	if (j != NULL && (l->first = j->next) == NULL)
		l->end = &l->first;
	return j;
}

/* On the asking thread. */
static void
scribe_deliver(void *arg)
{
	struct scribe *s = arg;
	struct scribe_job *j;

	MAGIC_CHECK(s, SCRIBE_MAGIC);
	do {
		pthread_mutex_lock(&s->lock);
		j = list_take(&s->ready);
		pthread_mutex_unlock(&s->lock);
		if (j != NULL)
			j->done(j, false);
	} while (j != NULL);
}

static void *
scribe_main(void *arg)
{
	struct scribe *s = arg;
	struct scribe_job *j;

	MAGIC_CHECK(s, SCRIBE_MAGIC);
	/* Linux has priorities of threads, whatever POSIX says. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	pthread_mutex_lock(&s->lock);
	s->runs = true;
	pthread_cond_broadcast(&s->changed);
	while (!s->ends) {
		j = list_take(&s->todo);
		if (j == NULL) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		j->work(j);
		pthread_mutex_lock(&s->lock);
		list_add(&s->ready, j);
		/*
		 * Whoever is woken runs at once, before this nice thread does, and would wait for
		 * the lock until it is this one's turn again.
		 */
		pthread_mutex_unlock(&s->lock);
		/* Without memory it is delivered with the next one. */
		if (mailbox_post(s->mailbox, scribe_deliver, s) == -1)
			log_error("out of memory: an answer is late");
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct scribe *
scribe_new(struct mailbox *mailbox)
{
	struct scribe *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	MAGIC_SET(s, SCRIBE_MAGIC);
	s->mailbox = mailbox;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	list_init(&s->todo);
	list_init(&s->ready);
	return s;
}

int
scribe_start(struct scribe *s)
{
	int err = pthread_create(&s->thread, NULL, scribe_main, s);

	if (err != 0)
		return err;
	s->started = true;
	/* It has its priority before smbgate gives up what it takes to set one. */
	pthread_mutex_lock(&s->lock);
	while (!s->runs)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

bool
scribe_ask(struct scribe *s, struct scribe_job *j)
{
	if (s == NULL || !s->started)
		return false;
	pthread_mutex_lock(&s->lock);
	list_add(&s->todo, j);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* False: it is not there. */
static bool
list_remove(struct scribe_list *l, struct scribe_job *j)
{
	struct scribe_job **at = &l->first;

	while (*at != NULL && *at != j)
		at = &(*at)->next;
	if (*at == NULL)
		return false;
	*at = j->next;
	if (*at == NULL)
		l->end = at;
	return true;
}

void
scribe_forget(struct scribe *s, struct scribe_job *j)
{
	bool waits;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	waits = list_remove(&s->todo, j);
	pthread_mutex_unlock(&s->lock);
	if (waits)
		j->done(j, true);
}

static void
drop_all(struct scribe_list *l)
{
	struct scribe_job *j;

	while ((j = list_take(l)) != NULL)
		j->done(j, true);
}

void
scribe_free(struct scribe **sp)
{
	struct scribe *s = *sp;

	if (s == NULL)
		return;
	if (s->started) {
		pthread_mutex_lock(&s->lock);
		s->ends = true;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	/* The loop is not running any more, but the mailbox is emptied once again. */
	mailbox_cancel(s->mailbox, s);
	drop_all(&s->todo);
	drop_all(&s->ready);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	MAGIC_CLEAR(s);
	free(s);
	*sp = NULL;
}
