/* main.c: program smbgate-keyd: the one that knows the keytab; answers which key a logon has */
#include "config.h"

#include "keyd/answer.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "keyd/exchange.h"
#include "keyd/keys.h"
#include "keyd/krb5.h"
#include "keyd/ntlm.h"
#include "keyd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

/*
 * Started by smbgate's guard, with the guard's socket as descriptor 3 and the workers' behind it.
 *
 *	guard ──keytab's descriptor──► keys
 *	worker ──AP_REQ, ...──► exchanges ──KEY, FAIL──► worker
 *
 * A ticket that no key opens makes it ask the guard for the keytab once more.
 */

/* How often, at most, and how long for the answer. */
#define KEYTAB_AGAIN_MS 1000
#define KEYTAB_WAIT_MS 1000
#define WORKERS_MAX 1024

struct options {
	unsigned workers;
	bool change_id, syslog, verbose;
	uid_t uid;
	gid_t gid;
};

struct answer {
	STAILQ_ENTRY(answer) entry;
	size_t len;
	uint8_t bytes[KEYMSG_ANSWER_MAX];
};

/* One worker. Nothing is read from it while it does not take its answers. */
struct channel {
	unsigned index;
	int fd;				/* -1: closed */
	struct exchanges *exchanges;
	STAILQ_HEAD(, answer) answers;
};

struct keyd {
	struct kerb *kerb;
	struct keyd_keys *keys;		/* NULL until the guard has spoken */
	bool wanted;			/* the guard has been asked for the keytab */
	uint64_t wanted_ms;		/* when it was asked last */
	unsigned nchannels;
	struct channel *channels;
	struct pollfd *polls;		/* the guard's, then the channels' */
	uint8_t buf[KEYMSG_MAX + 1];	/* one more, so that what is too long shows */
};

static void
close_channel(struct channel *ch, const char *why)
{
	struct answer *a;

	if (ch->fd == -1)
		return;
	if (why != NULL)
		log_error("smbgate-keyd: worker %u is not listened to any more: %s", ch->index,
		    why);
	close(ch->fd);
	ch->fd = -1;
	exchanges_free(&ch->exchanges);
	while ((a = STAILQ_FIRST(&ch->answers)) != NULL) {
		STAILQ_REMOVE_HEAD(&ch->answers, entry);
		OPENSSL_cleanse(a, sizeof(*a));
		free(a);
	}
}

/* What does not go now stays, in order. */
static void
flush(struct channel *ch)
{
	struct answer *a;

	while ((a = STAILQ_FIRST(&ch->answers)) != NULL) {
		ssize_t r = send(ch->fd, a->bytes, a->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r == -1 && errno == EINTR)
			continue;
		/* A worker that is gone is noticed when it is read from. */
		if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
			return;
		STAILQ_REMOVE_HEAD(&ch->answers, entry);
		OPENSSL_cleanse(a, sizeof(*a));
		free(a);
	}
}

static void
answer_cb(void *arg, const struct keymsg *m)
{
	struct channel *ch = arg;
	struct answer *a = malloc(sizeof(*a));

	if (a == NULL || (a->len = keymsg_put(a->bytes, sizeof(a->bytes), m)) == 0) {
		free(a);
		log_error("smbgate-keyd: an answer is lost");
		return;
	}
	STAILQ_INSERT_TAIL(&ch->answers, a, entry);
	flush(ch);
}

static void
read_channel(struct keyd *d, struct channel *ch)
{
	char why[KEYD_WHY];
	struct keymsg m;
	ssize_t n = recv(ch->fd, d->buf, sizeof(d->buf), MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0)
		close_channel(ch, NULL);
	else if (keymsg_get(&m, d->buf, (size_t)n) == -1 || !keymsg_is_request(m.type))
		close_channel(ch, "what it sent is no request");
	else if (exchanges_take(ch->exchanges, d->keys, &m, clock_ms(), why) == -1)
		close_channel(ch, why);
}

static void
tell_guard(char what, const char *text)
{
	char packet[1 + KEYD_WHY];
	size_t n = strlen(text);

	packet[0] = what;
	memcpy(packet + 1, text, n < KEYD_WHY ? n : KEYD_WHY);
	while (send(KEYD_GUARD_FD, packet, 1 + (n < KEYD_WHY ? n : KEYD_WHY), MSG_NOSIGNAL) == -1 &&
	    errno == EINTR)
		continue;
}

static void
retry_all(struct keyd *d)
{
	d->wanted = false;
	for (unsigned i = 0; i < d->nchannels; i++)
		if (d->channels[i].fd != -1)
			exchanges_retry(d->channels[i].exchanges, d->keys);
}

/*
 * A keytab that is gone is gone. One that is broken, or half written, does not replace a good one:
 * the next change of the file will be looked at, too.
 */
static void
use_keys(struct keyd *d, struct keyd_keys *keys, bool gone)
{
	bool first = d->keys == NULL, worse;

	if (keys == NULL) {
		log_error("smbgate-keyd: out of memory for a keytab");
		return;
	}
	worse = !gone && keys->why[0] != '\0' && !first && d->keys->why[0] == '\0';
	if (worse) {
		log_error("the keys that were read before stay in use");
		keyd_keys_free(&keys);
	} else {
		keyd_keys_free(&d->keys);
		d->keys = keys;
	}
	if (first)
		tell_guard(KEYD_SERVES, "");
	retry_all(d);
}

/* Ends the process with smbgate and its guard. No handlers run: nothing is to be saved. */
static void
read_guard(struct keyd *d)
{
	char text[KEYD_WHY];
	uint8_t packet[KEYD_WHY];
	int fd;
	ssize_t n = fdpass_recv(KEYD_GUARD_FD, packet, sizeof(packet), &fd, 0);

	if (n <= 0) {
		keyd_keys_free(&d->keys);
		_exit(EXIT_SUCCESS);
	}
	switch (packet[0]) {
	case KEYTAB_FILE:
		if (fd != -1)
			use_keys(d, keyd_keys_load(d->kerb, fd), false);
		break;
	case KEYTAB_ABSENT:
		snprintf(text, sizeof(text), "%.*s", (int)n - 1, (const char *)packet + 1);
		use_keys(d, keyd_keys_none(text), true);
		break;
	case KEYTAB_SAME:
		retry_all(d);
		break;
	}
	if (fd != -1)
		close(fd);
}

/* Tickets that no key opens: the guard is asked, or has been, or it was too short a time ago. */
static void
want_keytab(struct keyd *d, uint64_t now)
{
	bool waiting = false;

	for (unsigned i = 0; i < d->nchannels; i++)
		waiting |= d->channels[i].fd != -1 && exchanges_waiting(d->channels[i].exchanges);
	if (!waiting)
		return;
	if (d->wanted) {
		if (now - d->wanted_ms >= KEYTAB_WAIT_MS)
			retry_all(d);
	} else if (d->wanted_ms != 0 && now - d->wanted_ms < KEYTAB_AGAIN_MS) {
		retry_all(d);
	} else {
		d->wanted = true;
		d->wanted_ms = now;
		tell_guard(KEYTAB_WANTED, "");
	}
}

static void
prepare_polls(struct keyd *d)
{
	d->polls[0] = (struct pollfd){ .fd = KEYD_GUARD_FD, .events = POLLIN };
	for (unsigned i = 0; i < d->nchannels; i++) {
		const struct channel *ch = &d->channels[i];

		/* Workers wait until there is a keytab, or a reason why there is none. */
		d->polls[1 + i] = (struct pollfd){
			.fd = d->keys == NULL ? -1 : ch->fd,
			.events = STAILQ_EMPTY(&ch->answers) ? POLLIN : POLLOUT,
		};
	}
}

static void
serve_channel(struct keyd *d, struct channel *ch, short got)
{
	if (ch->fd == -1)
		return;
	if (!STAILQ_EMPTY(&ch->answers))
		flush(ch);
	if ((got & (POLLERR | POLLNVAL)) != 0 ||
	    ((got & POLLHUP) != 0 && (got & POLLIN) == 0))
		close_channel(ch, NULL);
	else if ((got & POLLIN) != 0)
		read_channel(d, ch);
}

static void
serve(struct keyd *d)
{
	bool busy = false;

	for (;;) {
		uint64_t now;

		prepare_polls(d);
		if (poll(d->polls, 1 + d->nchannels, d->wanted || busy ? 500 : -1) == -1 &&
		    errno != EINTR)
			return;
		if (d->polls[0].revents != 0)
			read_guard(d);
		for (unsigned i = 0; i < d->nchannels; i++)
			if (d->polls[1 + i].fd != -1 && d->polls[1 + i].revents != 0)
				serve_channel(d, &d->channels[i], d->polls[1 + i].revents);
		now = clock_ms();
		if (d->keys != NULL)
			want_keytab(d, now);
		busy = false;
		for (unsigned i = 0; i < d->nchannels; i++)
			if (d->channels[i].fd != -1)
				busy |= exchanges_expire(d->channels[i].exchanges, now);
	}
}

static struct keyd *
keyd_new(struct kerb *kerb, unsigned workers)
{
	struct keyd *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->kerb = kerb;
	d->channels = calloc(workers, sizeof(*d->channels));
	d->polls = calloc(1 + workers, sizeof(*d->polls));
	if (d->channels == NULL || d->polls == NULL)
		goto fail;
	for (unsigned i = 0; i < workers; i++) {
		struct channel *ch = &d->channels[i];

		ch->index = i;
		ch->fd = KEYD_GUARD_FD + 1 + (int)i;
		STAILQ_INIT(&ch->answers);
		ch->exchanges = exchanges_new(kerb, answer_cb, ch);
		d->nchannels++;
		if (ch->exchanges == NULL)
			goto fail;
		answer_cb(ch, &(struct keymsg){ .type = KEYMSG_HELLO, .id = KEYMSG_VERSION });
	}
	return d;
fail:
	for (unsigned i = 0; i < d->nchannels; i++)
		close_channel(&d->channels[i], NULL);
	free(d->polls);
	free(d->channels);
	free(d);
	return NULL;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .workers = 0 };
	while ((c = getopt(argc, argv, "n:u:g:sv")) != -1) {
		switch (c) {
		case 'n':
			o->workers = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'u':
			o->change_id = true;
			o->uid = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case 'g':
			o->gid = (gid_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->syslog = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		default:
			return -1;
		}
	}
	return optind < argc || o->workers == 0 || o->workers > WORKERS_MAX ? -1 : 0;
}

/* The guard's socket and the workers', and not by chance something else. */
static int
check_descriptors(unsigned workers)
{
	for (unsigned i = 0; i <= workers; i++) {
		int type = 0, fd = KEYD_GUARD_FD + (int)i;
		socklen_t len = sizeof(type);

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
		    type != SOCK_SEQPACKET)
			return -1;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	return 0;
}

/* Everything that needs files, privileges or luck; then the sandbox. NULL: why says it. */
static struct keyd *
start(const struct options *o, char why[KEYD_WHY])
{
	struct kerb *kerb;
	struct keyd *d;

	setlocale(LC_CTYPE, "C.UTF-8");
	tzset();
	sandbox_prepare();
	if (ntlm_selftest(why) == -1)
		return NULL;
	kerb = kerb_new(why);
	/* What may be locked depends on the user. */
	if (kerb == NULL || sandbox_enter(o->change_id, o->uid, o->gid, why) == -1 ||
	    keyd_keys_selftest(why) == -1)
		return NULL;
	d = keyd_new(kerb, o->workers);
	if (d == NULL)
		snprintf(why, KEYD_WHY, "out of memory");
	return d;
}

int
main(int argc, char **argv)
{
	char why[KEYD_WHY];
	struct options o;
	struct keyd *d;

	if (parse_options(&o, argc, argv) == -1 || check_descriptors(o.workers) == -1) {
		fputs("smbgate-keyd is started by smbgate, and by nobody else\n", stderr);
		return EXIT_FAILURE;
	}
	/* Whoever stops all processes of smbgate means smbgate: this one ends when that is gone. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	log_open(o.syslog, o.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	d = start(&o, why);
	if (d == NULL) {
		tell_guard(KEYD_UNFIT, why);
		_exit(EXIT_FAILURE);
	}
	serve(d);
	_exit(EXIT_FAILURE);
}
