/* keyc.c: a guard, its smbgate-keyd and two workers' keyc, for tests: asks what stdin says */
#include "config.h"

#include "auth/keyc.h"
#include "auth/keywatch.h"
#include "auth/keyx.h"
#include "auth/secret.h"
#include "base/log.h"
#include "daemon/guard.h"
#include "policy/conf.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

/*
 * Lines "WORKER NAME ap_req|ap_rep|challenge|auth HEX", each of which is asked about, "WORKER NAME
 * free", "WORKER NAME state", "reload". Answers: "NAME ready KEY mutual|final PRINCIPAL", "NAME
 * failed WHY".
 */
#define WORKERS 2
#define LOGONS_MAX 6000
#define LINE_MAX_LEN 200000

struct logon {
	char name[32];
	struct keyx *x;
};

struct shell {
	struct event_base *base;
	struct guard *guard;
	struct event *guard_ev;
	struct keywatch watch;
	struct keyc *keyc[WORKERS];
	struct logon logons[LOGONS_MAX];
	size_t len;
	char line[LINE_MAX_LEN];
	uint8_t token[LINE_MAX_LEN / 2];
};

static void
print(const struct logon *l)
{
	const struct keyx_result *r = keyx_result(l->x);

	switch (r->state) {
	case KEYX_READY:
		printf("%s ready ", l->name);
		for (size_t i = 0; i < r->key_len; i++)
			printf("%02x", r->key[i]);
		if (r->key_len == 0)
			putchar('-');
		printf(" %s %s\n", r->mutual ? "mutual" : "final", r->principal);
		break;
	case KEYX_FAILED:
		printf("%s failed %s\n", l->name, r->why.text);
		break;
	case KEYX_ASKING:
		printf("%s asking\n", l->name);
		break;
	case KEYX_NOTHING:
		printf("%s nothing\n", l->name);
		break;
	}
	fflush(stdout);
}

static void
ready_cb(void *arg)
{
	print(arg);
}

static struct logon *
logon(struct shell *s, unsigned worker, const char *name)
{
	struct logon *unused = NULL;

	for (size_t i = 0; i < LOGONS_MAX; i++) {
		if (s->logons[i].x == NULL && unused == NULL)
			unused = &s->logons[i];
		if (s->logons[i].x != NULL && strcmp(s->logons[i].name, name) == 0)
			return &s->logons[i];
	}
	if (unused == NULL || worker >= WORKERS)
		abort();
	snprintf(unused->name, sizeof(unused->name), "%s", name);
	unused->x = keyx_new(s->keyc[worker], worker, ready_cb, unused);
	return unused;
}

static size_t
unhex(uint8_t *dst, const char *hex)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		const char byte[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		dst[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return n;
}

static void
command(struct shell *s, char *line)
{
	const char *worker = strtok(line, " "), *name = strtok(NULL, " "),
	           *what = strtok(NULL, " "), *hex = strtok(NULL, " ");
	struct logon *l;
	size_t n;

	if (worker != NULL && strcmp(worker, "reload") == 0) {
		guard_reload(s->guard);
		return;
	}
	if (worker == NULL || what == NULL)
		return;
	l = logon(s, (unsigned)atoi(worker), name);
	n = unhex(s->token, hex == NULL ? "" : hex);
	if (strcmp(what, "ap_req") == 0)
		keyx_ap_req(l->x, s->token, n);
	else if (strcmp(what, "ap_rep") == 0)
		keyx_ap_rep(l->x, s->token, n);
	else if (strcmp(what, "challenge") == 0)
		keyx_ntlm_challenge(l->x, s->token, n);
	else if (strcmp(what, "auth") == 0)
		keyx_ntlm_auth(l->x, s->token, n);
	else if (strcmp(what, "free") == 0)
		keyx_free(&l->x);
	else if (strcmp(what, "state") == 0)
		print(l);
	if (hex != NULL)
		keyx_ask(l->x);
}

static void
stdin_cb(evutil_socket_t fd, short what, void *arg)
{
	struct shell *s = arg;
	ssize_t n = read(fd, s->line + s->len, sizeof(s->line) - 1 - s->len);
	char *end;

	(void)what;
	if (n <= 0) {
		event_base_loopbreak(s->base);
		return;
	}
	s->len += (size_t)n;
	s->line[s->len] = '\0';
	while ((end = strchr(s->line, '\n')) != NULL) {
		size_t used = (size_t)(end - s->line) + 1;

		*end = '\0';
		command(s, s->line);
		s->len -= used;
		memmove(s->line, s->line + used, s->len + 1);
	}
}

static void
keyd_cb(void *arg, unsigned worker, int fd)
{
	struct shell *s = arg;

	evutil_make_socket_nonblocking(fd);
	keyc_attach(s->keyc[worker], fd);
	printf("attached %u\n", worker);
	fflush(stdout);
}

static void
guard_cb(evutil_socket_t fd, short what, void *arg)
{
	struct shell *s = arg;

	(void)fd;
	(void)what;
	if (guard_read(s->guard) == 0)
		return;
	puts("the guard is gone");
	fflush(stdout);
	event_del(s->guard_ev);
}

/* keyc KEYTAB [KEYD-USER] */
int
main(int argc, char **argv)
{
	struct shell *s = calloc(1, sizeof(*s));
	struct secret secret = { .len = 0 };
	struct conf conf = { .keytab = argv[1], .keyd_user = argc > 2 ? argv[2] : NULL,
		.keytab_services = "cifs", .keytab_rate = 500, .confine = true,
		.log_level = LOG_LEVEL_DEBUG };
	struct event *in;

	if (argc < 2 || s == NULL)
		return 2;
	conf.path = argv[0];
	conf.keyd_user = argc > 2 ? argv[2] : NULL;
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	s->guard = guard_new(&conf, WORKERS, false, &secret);
	if (s->guard == NULL || guard_wait(s->guard) == -1) {
		guard_free(&s->guard);
		free(s);
		return EXIT_FAILURE;
	}
	s->base = event_base_new();
	for (int i = 0; i < WORKERS; i++)
		s->keyc[i] = keyc_new(s->base, &s->watch);
	s->guard_ev = event_new(s->base, guard_fd(s->guard), EV_READ | EV_PERSIST, guard_cb, s);
	in = event_new(s->base, STDIN_FILENO, EV_READ | EV_PERSIST, stdin_cb, s);
	event_add(s->guard_ev, NULL);
	event_add(in, NULL);
	guard_listen(s->guard, keyd_cb, s);
	puts("up");
	fflush(stdout);
	event_base_dispatch(s->base);
	for (size_t i = 0; i < LOGONS_MAX; i++)
		keyx_free(&s->logons[i].x);
	for (int i = 0; i < WORKERS; i++)
		keyc_free(&s->keyc[i]);
	event_free(in);
	event_free(s->guard_ev);
	guard_free(&s->guard);
	event_base_free(s->base);
	free(s);
	return EXIT_SUCCESS;
}
