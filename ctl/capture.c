/* capture.c: the bytes of connections, written to a file; and what is decided about them */
#include "config.h"

#include "ctl/capture.h"

#include "ctl/failure.h"
#include "ctl/field.h"
#include "ctl/legible.h"
#include "ctl/packets.h"
#include "ctl/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct stream *
begin(const char *path, const json_t *request, bool json)
{
	json_t *first = NULL;
	struct stream *s = stream_open(path, request, &first);

	if (s == NULL) {
		failure_print(first, json);
		return NULL;
	}
	json_decref(first);
	fprintf(stderr, "smbgatectl: %s of %s begins; ^C ends it\n", text_of(request, "cmd"),
	    text_of(request, "who"));
	return s;
}

static bool
to_stdout(const struct capture *c)
{
	return strcmp(c->file, "-") == 0;
}

/* Nobody else may read it, nor have it open already. NULL: the reason has been printed. */
static FILE *
file_new(const struct capture *c)
{
	struct stat st;
	FILE *f;
	int fd;

	if (to_stdout(c))
		return stdout;
	/* A device, or a pipe, is nothing to be replaced by a file. */
	if (c->force && lstat(c->file, &st) == 0 && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
		(void)unlink(c->file);
	fd = open(c->file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	f = fd == -1 ? NULL : fdopen(fd, "w");
	if (f == NULL) {
		failure_print(failure("%s: %s%s", c->file, strerror(errno), errno != EEXIST ? ""
		    : c->force ? "; --force replaces only files" : "; --force replaces it"),
		    c->json);
		if (fd != -1)
			close(fd);
	}
	return f;
}

/* How the file went. */
struct written {
	bool full;	/* no more goes into it */
	int err;	/* it could not be written; an errno */
};

/* Reads records, to the last, which is returned; NULL: it has not come. */
static json_t *
write_records(struct stream *s, const struct capture *c, struct packets *p, FILE *out,
    struct written *w)
{
	const uint8_t *r;
	struct tapmsg m;
	size_t have;

	for (;;) {
		if (stream_idle(s) && fflush(out) == EOF && w->err == 0) {
			w->err = errno;
			stream_stop(s);
		}
		r = stream_need(s, TAPMSG_HDR_LEN, &have);
		if (r == NULL || tapmsg_get(&m, r) == -1)
			return NULL;
		r = stream_need(s, TAPMSG_HDR_LEN + m.len, &have);
		if (r == NULL)
			return NULL;
		if (m.kind == TAPMSG_END)
			return json_loadb((const char *)r + TAPMSG_HDR_LEN, m.len, 0, NULL);
		if (!w->full)
			packets_add(p, &m, r + TAPMSG_HDR_LEN);
		if (ferror(out) && w->err == 0)
			w->err = errno;
		stream_skip(s, TAPMSG_HDR_LEN + m.len);
		if (packets_bytes(p) >= c->size || w->err != 0) {
			w->full = true;
			stream_stop(s);
		}
	}
}

/* What has come of it, for people, or as JSON. */
static void
print_summary(const struct capture *c, const json_t *end, const struct packets *p)
{
	const uint16_t port = packets_odd_port(p);
	FILE *to = to_stdout(c) ? stderr : stdout;

	if (c->json) {
		json_dumpf(end, to, JSON_INDENT(2));
		putc('\n', to);
		return;
	}
	fprintf(to, "%lld connections, %llu packets, %llu bytes in %s; ended: %s\n",
	    int_of(end, "connections"), (unsigned long long)packets_count(p),
	    (unsigned long long)packets_bytes(p), c->file, text_of(end, "ended"));
	if (int_of(end, "lost") > 0)
		fprintf(to, "%lld records, %lld bytes of them, were lost: they came faster than "
		    "they could be written\n", int_of(end, "lost"), int_of(end, "lost_bytes"));
	if (port != 0)
		fprintf(to, "a decoder has to be told what port %u is: tshark -d "
		    "tcp.port==%u,nbss\n", port, port);
}

/* As JSON, all is one object; takes it over. The exit status. */
static int
capture_end(const struct capture *c, json_t *end, const struct packets *p)
{
	const bool good = json_object_get(end, "error") == NULL;

	if (!good && !c->json)
		failure_print(json_incref(end), false);
	if (c->json || json_object_get(end, "ended") != NULL)
		print_summary(c, end, p);
	json_decref(end);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Takes end over, NULL: it has not come. The exit status. */
static int
finish_capture(const struct capture *c, json_t *end, const struct packets *p, FILE *out,
    struct written *w)
{
	json_t *why = NULL;

	if (fflush(out) == EOF && w->err == 0)
		w->err = errno;
	if (w->err != 0)
		why = failure("%s: cannot write: %s", c->file, strerror(w->err));
	else if (end == NULL)
		why = failure("smbgate has ended before the capture");
	else if (int_of(end, "connections") == 0)
		why = failure("no connection of that name");
	if (end == NULL)
		end = json_object();
	else if (w->full && w->err == 0)
		json_object_set_new(end, "ended", json_string("size"));
	json_object_set_new(end, "file", json_string(c->file));
	json_object_set_new(end, "packets", json_integer((json_int_t)packets_count(p)));
	json_object_set_new(end, "file_bytes", json_integer((json_int_t)packets_bytes(p)));
	json_object_update(end, why);
	/* Who means somebody else then is not to be told that there is such a file. */
	if (json_object_get(end, "ended") != NULL && int_of(end, "connections") == 0 &&
	    !to_stdout(c))
		(void)unlink(c->file);
	json_decref(why);
	return capture_end(c, end, p);
}

int
capture_run(const char *path, const json_t *request, const struct capture *c)
{
	FILE *out = file_new(c);
	struct packets *p = out == NULL ? NULL : packets_new(out, PACKAGE_STRING);
	struct stream *s = p == NULL ? NULL : begin(path, request, c->json);
	struct written w = { .full = false };
	int status = EXIT_FAILURE;

	if (s != NULL)
		status = finish_capture(c, write_records(s, c, p, out, &w), p, out, &w);
	else if (out != NULL && !to_stdout(c))
		(void)unlink(c->file);
	stream_close(&s);
	packets_free(&p);
	if (out != NULL && out != stdout)
		fclose(out);
	return status;
}

/* "06:12:01.123456 conn 12 route: to node n1: by its claim" */
static void
print_event(const json_t *o)
{
	long long us = int_of(o, "time_us");
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[16];

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06lld conn %lld %s: %s\n", text, us % 1000000, int_of(o, "connection"),
	    text_of(o, "event"), text_of(o, "text"));
}

int
trace_run(const char *path, const json_t *request, bool json)
{
	struct stream *s = begin(path, request, json);
	json_t *o = NULL;
	int status = EXIT_FAILURE;

	while (s != NULL && (o = stream_line(s)) != NULL) {
		if (json) {
			json_dumpf(o, stdout, JSON_COMPACT);
			putchar('\n');
		} else if (json_object_get(o, "ended") == NULL) {
			legible(o);
			print_event(o);
		}
		fflush(stdout);
		if (json_object_get(o, "ended") != NULL)
			break;
		json_decref(o);
	}
	if (o != NULL && int_of(o, "connections") > 0)
		status = EXIT_SUCCESS;
	if (s != NULL && !json)
		fprintf(stderr, "%lld connections; ended: %s\n", int_of(o, "connections"),
		    o == NULL ? "smbgate has ended" : text_of(o, "ended"));
	json_decref(o);
	stream_close(&s);
	return status;
}
