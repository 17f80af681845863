/* main.c: program smbgate-keyd: the one that knows the keytab; answers which key a logon has */
#include "config.h"

#include "keyd/answer.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/wr.h"
#include "keyd/channel.h"
#include "keyd/exchange.h"
#include "keyd/heap.h"
#include "keyd/keys.h"
#include "keyd/krb5.h"
#include "keyd/ntlm.h"
#include "keyd/rules.h"
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
 * A ticket that no key opens makes it ask the guard for the keytab once more. A worker that is not
 * listened to any more, or does not listen, is given a new socket by the guard.
 */

/* How often, at most, and how long for the answer. */
#define KEYTAB_AGAIN_MS 1000
#define KEYTAB_WAIT_MS 1000
#define WORKERS_MAX 1024
#define RATE_MAX 1000000
#define RATE_DEFAULT 500

struct options {
	unsigned workers, rate;
	const char *services;
	bool change_id, syslog;
	enum log_level level;
	enum log_format format;
	uid_t uid;
	gid_t gid;
};

struct keyd {
	struct heap heap;
	char no_ntlm[KEYD_WHY];		/* why it cannot be done here, or nothing */
	struct rules rules;
	struct exchange_env env;
	struct keyd_keys *keys;		/* NULL until the guard has spoken */
	bool wanted;			/* the guard has been asked for the keytab */
	uint64_t wanted_ms;		/* when it was asked last */
	bool deaf;			/* it did not answer, and has not been heard of since */
	unsigned nchannels;
	struct channel *channels;
	struct pollfd *polls;		/* the guard's, then the channels' */
	uint8_t buf[KEYMSG_MAX + 1];	/* one more, so that what is too long shows */
};

/* Never waits: a guard that hangs must not stop those who log on. -1: it was not told. */
static int
tell_guard(char what, const void *p, size_t n)
{
	char packet[1 + KEYD_WHY] = { what };
	ssize_t r;

	n = n < KEYD_WHY ? n : KEYD_WHY;
	memcpy(packet + 1, p, n);
	do
		r = send(KEYD_GUARD_FD, packet, 1 + n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r == -1 && errno == EINTR);
	return r == -1 ? -1 : 0;
}

/* keys NULL: they are those that were tried. */
static void
retry_all(struct keyd *d, struct keyd_keys *keys)
{
	d->wanted = false;
	for (unsigned i = 0; i < d->nchannels; i++)
		if (d->channels[i].fd != -1)
			exchanges_retry(d->channels[i].exchanges, keys);
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
	worse = !gone && keys->why.text[0] != '\0' && !first && d->keys->why.text[0] == '\0';
	if (worse) {
		log_error("the keys that were read before stay in use");
		keyd_keys_free(&keys);
	} else {
		keyd_keys_free(&d->keys);
		d->keys = keys;
		heap_lock(&d->heap, keyd_keys_reserve());
	}
	if (first)
		tell_guard(KEYD_SERVES, "", 0);
	retry_all(d, worse ? NULL : d->keys);
}

/* Of the worker of that index, lost or not: the guard knows best. */
static void
use_worker(struct keyd *d, unsigned index, int fd)
{
	if (index >= d->nchannels)
		close(fd);
	else if (channel_open(&d->channels[index], &d->env, fd) == -1)
		log_error("smbgate-keyd: out of memory: worker %u is not listened to", index);
	else
		log_info("smbgate-keyd: worker %u is listened to again", index);
}

/* It lives, and this is what it has counted. */
static void
tell_pong(const struct keyd *d)
{
	uint8_t counts[8 * KEYD_COUNTS];
	struct wr w = wr_init(counts, sizeof(counts));

	for (int i = 0; i < KEYD_COUNTS; i++)
		wr_u64(&w, d->rules.count[i]);
	tell_guard(KEYD_PONG, counts, wr_len(&w));
}

/* Ends the process with smbgate and its guard. No handlers run: nothing is to be saved. */
static void
read_guard(struct keyd *d)
{
	char text[KEYD_WHY];
	uint8_t packet[KEYD_PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(KEYD_GUARD_FD, packet, sizeof(packet), &fd, 0);

	if (n <= 0) {
		keyd_keys_free(&d->keys);
		_exit(EXIT_SUCCESS);
	}
	d->deaf = false;
	switch (packet[0]) {
	case KEYTAB_FILE:
		if (fd != -1)
			use_keys(d, keyd_keys_load(&d->rules, fd), false);
		break;
	case KEYTAB_ABSENT:
	case KEYTAB_REFUSED:
		snprintf(text, sizeof(text), "%.*s", (int)n - 1, (const char *)packet + 1);
		use_keys(d, keyd_keys_none(text), packet[0] == KEYTAB_ABSENT);
		break;
	case KEYTAB_SAME:
		retry_all(d, NULL);
		break;
	case KEYD_PING:
		/* It comes once a second. */
		log_catch_up();
		tell_pong(d);
		break;
	case KEYD_LEVEL:
		if (n == 2 && packet[1] <= LOG_LEVEL_DEBUG)
			log_set_level((enum log_level)packet[1]);
		break;
	case KEYD_WORKER:
		if (n == 3 && fd != -1)
			use_worker(d, packet[1] | (unsigned)packet[2] << 8, fd);
		fd = -1;
		break;
	}
	if (fd != -1)
		close(fd);
}

/*
 * Tickets that no key opens: the guard is asked, or has been, or it was too short a time ago. A
 * worker has few requests on their way: those that wait hold up all others behind them. So nobody
 * waits for a guard that has once not answered.
 */
static void
want_keytab(struct keyd *d, uint64_t now)
{
	bool waiting = false;

	for (unsigned i = 0; i < d->nchannels; i++)
		waiting |= d->channels[i].fd != -1 && exchanges_waiting(d->channels[i].exchanges);
	if (!waiting)
		return;
	if (d->wanted) {
		d->deaf = now - d->wanted_ms >= KEYTAB_WAIT_MS;
		if (d->deaf)
			retry_all(d, NULL);
	} else if (d->deaf || (d->wanted_ms != 0 && now - d->wanted_ms < KEYTAB_AGAIN_MS)) {
		retry_all(d, NULL);
	} else {
		d->wanted = true;
		d->wanted_ms = now;
		tell_guard(KEYTAB_WANTED, "", 0);
	}
}

/* How it stands with each worker. False: nothing of any is left to grow old, or to be told. */
static bool
look_after(struct keyd *d, uint64_t now)
{
	bool busy = false;

	for (unsigned i = 0; i < d->nchannels; i++) {
		struct channel *ch = &d->channels[i];
		const uint8_t index[2] = { (uint8_t)i, (uint8_t)(i >> 8) };

		if (ch->fd != -1)
			busy |= exchanges_expire(ch->exchanges, now);
		else if (!ch->told)
			ch->told = tell_guard(KEYD_LOST, index, sizeof(index)) == 0;
		busy |= ch->fd == -1 && !ch->told;
	}
	return busy;
}

/* How long poll() may take, in ms; -1: for ever. */
static int
prepare_polls(struct keyd *d, bool busy)
{
	int ms = d->wanted || busy ? 500 : -1;
	uint64_t now = clock_ms();

	d->polls[0] = (struct pollfd){ .fd = KEYD_GUARD_FD, .events = POLLIN };
	for (unsigned i = 0; i < d->nchannels; i++) {
		struct channel *ch = &d->channels[i];
		int wait = ch->fd == -1 ? 0 : channel_wait(ch, now);

		/* Workers wait until there is a keytab, or a reason why there is none. */
		d->polls[1 + i] = (struct pollfd){ .fd = d->keys == NULL ? -1 : ch->fd };
		if (!STAILQ_EMPTY(&ch->answers))
			d->polls[1 + i].events = POLLOUT;
		else if (wait == 0)
			d->polls[1 + i].events = POLLIN;
		if (wait > 0 && (ms == -1 || wait < ms))
			ms = wait;
	}
	return ms;
}

static void
serve(struct keyd *d)
{
	bool busy = false;

	for (;;) {
		int ms = prepare_polls(d, busy);
		uint64_t now;

		if (poll(d->polls, 1 + d->nchannels, ms) == -1 && errno != EINTR)
			return;
		/* What poll() has said of workers may be of sockets that the guard has replaced. */
		if (d->polls[0].revents != 0) {
			read_guard(d);
			continue;
		}
		for (unsigned i = 0; i < d->nchannels; i++)
			if (d->polls[1 + i].fd != -1 && d->polls[1 + i].revents != 0)
				channel_serve(&d->channels[i], d->keys,
				    d->polls[1 + i].revents, d->buf);
		now = clock_ms();
		if (d->keys != NULL)
			want_keytab(d, now);
		busy = look_after(d, now);
	}
}

/* -1: out of memory; the process ends. */
static int
open_channels(struct keyd *d, const struct options *o)
{
	d->channels = calloc(o->workers, sizeof(*d->channels));
	d->polls = calloc(1 + o->workers, sizeof(*d->polls));
	if (d->channels == NULL || d->polls == NULL)
		return -1;
	for (unsigned i = 0; i < o->workers; i++) {
		struct channel *ch = &d->channels[i];

		channel_init(ch, i, o->rate, clock_ms());
		d->nchannels++;
		if (channel_open(ch, &d->env, KEYD_GUARD_FD + 1 + (int)i) == -1)
			return -1;
	}
	return 0;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .rate = RATE_DEFAULT, .services = "cifs",
		.level = LOG_LEVEL_INFO };
	while ((c = getopt(argc, argv, "n:u:g:r:S:sl:f:")) != -1) {
		switch (c) {
		case 'r':
			o->rate = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'S':
			o->services = optarg;
			break;
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
		case 'l':
			if (log_level_parse(&o->level, optarg) == -1)
				return -1;
			break;
		case 'f':
			if (log_format_parse(&o->format, optarg) == -1)
				return -1;
			break;
		default:
			return -1;
		}
	}
	return optind < argc || o->workers == 0 || o->workers > WORKERS_MAX || o->rate == 0 ||
	    o->rate > RATE_MAX ? -1 : 0;
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

/* Everything that needs files, privileges or luck; then the sandbox. -1: why says it. */
static int
start(struct keyd *d, const struct options *o, char why[KEYD_WHY])
{
	setlocale(LC_CTYPE, "C.UTF-8");
	tzset();
	sandbox_prepare();
	heap_init(&d->heap);
	if (rules_init(&d->rules, o->services, why) == -1)
		return -1;
	if (ntlm_selftest(d->no_ntlm) == -1)
		log_warn("NTLM logons are not keyed: %s", d->no_ntlm);
	d->env = (struct exchange_env){ kerb_new(why), &d->rules, d->no_ntlm };
	/* What may be locked depends on the user. */
	if (d->env.kerb == NULL || sandbox_enter(o->change_id, o->uid, o->gid, why) == -1 ||
	    keyd_keys_selftest(why) == -1)
		return -1;
	if (open_channels(d, o) == 0)
		return 0;
	snprintf(why, KEYD_WHY, "out of memory");
	return -1;
}

int
main(int argc, char **argv)
{
	char why[KEYD_WHY];
	struct options o;
	struct keyd d = { .nchannels = 0 };

	if (parse_options(&o, argc, argv) == -1 || check_descriptors(o.workers) == -1) {
		fputs("smbgate-keyd is started by smbgate, and by nobody else\n", stderr);
		return EXIT_FAILURE;
	}
	/* Whoever stops all processes of smbgate means smbgate: this one ends when that is gone. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	log_open(o.syslog, o.format, o.level);
	if (start(&d, &o, why) == -1) {
		tell_guard(KEYD_UNFIT, why, strlen(why));
		_exit(EXIT_FAILURE);
	}
	serve(&d);
	_exit(EXIT_FAILURE);
}
