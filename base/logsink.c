/* logsink.c: where log lines go: stderr or syslog, and never a wait for whoever reads them */
#include "config.h"

#include "base/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define SYSLOG_PATH "/dev/log"
#define SYSLOG_NAME "smbgate"

/*
 * The C library's syslog() waits for a full socket, and cannot be told not to. What it sends is
 * simple: RFC 3164 with local time, to a unix socket of datagrams.
 */
static int
syslog_connect(void)
{
	const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = SYSLOG_PATH };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* A syslogd that was started again has a new socket: fd is connected to it, whoever holds it. */
static bool
syslog_reconnect(int fd)
{
	int again = syslog_connect();
	bool good = again != -1 && dup3(again, fd, O_CLOEXEC) != -1;

	if (again != -1)
		close(again);
	return good;
}

static bool
syslog_send(int fd, int priority, const char *text, size_t len)
{
	char head[96], when[32];
	time_t now = time(NULL);
	struct tm tm;
	struct iovec iov[2] = { { .iov_base = head }, { .iov_len = len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	/* sendmsg() only reads what an iovec points to, which has no const of its own. */
	memcpy(&iov[1].iov_base, &text, sizeof(text));
	strftime(when, sizeof(when), "%b %e %T", localtime_r(&now, &tm));
	iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "<%d>%s " SYSLOG_NAME "[%ld]: ",
	    LOG_DAEMON | priority, when, (long)getpid());
	for (int attempt = 0;; attempt++) {
		if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != -1)
			return true;
		if (errno == EINTR)
			continue;
		if ((errno != ECONNREFUSED && errno != ENOTCONN && errno != EDESTADDRREQ &&
		        errno != ECONNRESET) || attempt > 0 || !syslog_reconnect(fd))
			return false;
	}
}

/* The bytes that stderr took at once; -1: none. */
static ssize_t
stderr_write(const struct logsink *s, int fd, const char *p, size_t n)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	ssize_t r;

	do {
		if (s->socket) {
			r = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else {
			/* A line is shorter than PIPE_BUF, and so is what poll() says is free. */
			if (s->poll && (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0))
				return -1;
			r = write(fd, p, n);
		}
	} while (r == -1 && errno == EINTR);
	return r;
}

/* Did it get through? */
static bool
deliver(struct logsink *s, int priority, const char *line, size_t len, size_t text)
{
	int fd = s->syslog ? STDERR_FILENO : s->fd;
	ssize_t n;

	if (s->syslog && syslog_send(s->fd, priority, line + text, len - 1 - text))
		return true;
	/* A hung syslogd is a reader like any other; one that is not there leaves stderr. */
	if (s->syslog && (errno == EAGAIN || errno == ENOBUFS))
		return false;
	if (atomic_exchange(&s->torn, false) && stderr_write(s, fd, "\n", 1) != 1) {
		atomic_store(&s->torn, true);
		return false;
	}
	n = stderr_write(s, fd, line, len);
	if (n > 0 && (size_t)n < len)
		atomic_store(&s->torn, true);
	return n > 0;
}

bool
logsink_catch_up(struct logsink *s)
{
	unsigned long n = atomic_load(&s->dropped) == 0 ? 0 : atomic_exchange(&s->dropped, 0);
	const struct log_fields f = { .event = LOG_EVENT_SUPPRESSED, .count = n };
	char line[LOGLINE_MAX], msg[80];
	struct log_record r = { .level = LOG_LEVEL_WARN, .fields = &f, .msg = msg };
	size_t len, text;

	if (n == 0)
		return true;
	snprintf(msg, sizeof(msg), "log lines dropped because nobody read the log: %lu", n);
	clock_gettime(CLOCK_REALTIME, &r.ts);
	len = logline_make(line, &s->style, &r, &text);
	if (deliver(s, LOG_WARNING, line, len, text))
		return true;
	atomic_fetch_add(&s->dropped, n);
	return false;
}

bool
logsink_write(struct logsink *s, int priority, const char *line, size_t len, size_t text)
{
	/* Lines stay in order: none overtakes the one that says what is missing before it. */
	if (logsink_catch_up(s) && deliver(s, priority, line, len, text))
		return true;
	atomic_fetch_add(&s->dropped, 1);
	return false;
}

/* Is it what systemd has connected to the journal? systemd.exec(5): JOURNAL_STREAM=DEV:INODE */
static bool
is_journal(const struct stat *st)
{
	const char *s = getenv("JOURNAL_STREAM");
	char *end;

	return s != NULL && strtoull(s, &end, 10) == st->st_dev && *end == ':' &&
	    strtoull(end + 1, NULL, 10) == st->st_ino;
}

static void
stderr_style(struct logline_style *style, const struct stat *st)
{
	const bool terminal = isatty(STDERR_FILENO) == 1;

	style->priority = is_journal(st);
	style->time = !style->priority && (terminal || S_ISREG(st->st_mode));
	/* See no-color.org. */
	style->colour = !style->priority && terminal && getenv("NO_COLOR") == NULL;
}

/*
 * Not blocking is a property of the open file, which others have too: a parent's terminal, another
 * writer of the same pipe. So stderr is opened anew, for us alone, where that can be done.
 */
static void
stderr_open(struct logsink *s)
{
	struct stat st;
	int fd;

	s->fd = STDERR_FILENO;
	if (fstat(STDERR_FILENO, &st) == -1)
		return;
	stderr_style(&s->style, &st);
	s->socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	s->poll = fd == -1;
	if (fd != -1)
		s->fd = fd;
}

void
logsink_close(struct logsink *s)
{
	if (s->fd > STDERR_FILENO)
		close(s->fd);
	s->fd = STDERR_FILENO;
	s->syslog = s->socket = s->poll = false;
	s->style = (struct logline_style){ .format = s->style.format };
}

int
logsink_open(struct logsink *s, bool use_syslog, enum log_format format)
{
	int fd = -1, saved = 0;

	logsink_close(s);
	s->style.format = format;
	/* Now, for smbgate-keyd can open no file later. */
	tzset();
	if (use_syslog && (fd = syslog_connect()) == -1)
		saved = errno;
	if (fd == -1) {
		stderr_open(s);
		errno = saved;
		return use_syslog ? -1 : 0;
	}
	s->fd = fd;
	s->syslog = true;
	return 0;
}
