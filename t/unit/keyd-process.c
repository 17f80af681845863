/* keyd-process.c: unit tests of smbgate-keyd as a process, with us as its guard and only worker */
#include "config.h"

#include "auth/keymsg.h"
#include "base/fdpass.h"
#include "base/keytab.h"
#include "t/unit/lib/keydmade.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct keyd {
	pid_t pid;
	int guard, worker;
	uint64_t next;
};

static void
program(char dst[256])
{
	const char *build = getenv("SMBGATE_BUILD");

	snprintf(dst, 256, "%s/keyd/smbgate-keyd", build == NULL ? "." : build);
}

static void
give(const struct keyd *k, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	char what = KEYTAB_FILE;
	struct iovec iov = { &what, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	assert_int_equal(sendmsg(k->guard, &msg, 0), 1);
}

static void
keyd_get(struct keyd *k, struct keymsg *m, uint8_t b[KEYMSG_ANSWER_MAX])
{
	ssize_t n = recv(k->worker, b, KEYMSG_ANSWER_MAX, 0);

	assert_true(n > 0);
	assert_int_equal(keymsg_get(m, b, (size_t)n), 0);
}

static void
keyd_start(struct keyd *k)
{
	const struct timeval patience = { .tv_sec = 20 };
	uint8_t b[KEYMSG_ANSWER_MAX];
	char path[256], one[] = "1", n[] = "-n", name[] = "smbgate-keyd";
	char *argv[] = { name, n, one, NULL };
	int g[2], w[2], fd;
	struct keymsg m;
	struct tab t;
	char what;

	program(path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, g), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w), 0);
	k->pid = fork();
	if (k->pid == 0) {
		int hg = fcntl(g[1], F_DUPFD_CLOEXEC, 10), hw = fcntl(w[1], F_DUPFD_CLOEXEC, 10);

		dup2(hg, KEYD_GUARD_FD);
		dup2(hw, KEYD_GUARD_FD + 1);
		close_range(KEYD_GUARD_FD + 2, ~0u, 0);
		execv(path, argv);
		_exit(127);
	}
	close(g[1]);
	close(w[1]);
	k->guard = g[0];
	k->worker = w[0];
	k->next = 1;
	setsockopt(k->guard, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(k->worker, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	tab_begin(&t);
	tab_entry(&t, "alice", "LAB.EXAMPLE", 1, 0, 0, KEYTAB_RC4, admin_hash, 16);
	fd = memfd_create("keytab", 0);
	assert_int_equal(write(fd, t.b, t.n), t.n);
	lseek(fd, 0, SEEK_SET);
	give(k, fd);
	close(fd);
	assert_int_equal(recv(k->guard, &what, 1, 0), 1);
	assert_int_equal(what, KEYD_SERVES);
	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_HELLO);
	assert_int_equal(m.id, KEYMSG_VERSION);
}

/* It ends when its guard does, and by nothing else. */
static void
keyd_stop(struct keyd *k)
{
	int status;

	close(k->guard);
	close(k->worker);
	assert_int_equal(waitpid(k->pid, &status, 0), k->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
keyd_put(const struct keyd *k, enum keymsg_type type, uint64_t id, const void *p, size_t len)
{
	uint8_t *b = malloc(KEYMSG_MAX);
	size_t n = keymsg_put(b, KEYMSG_MAX, &(struct keymsg){ .type = type, .id = id, .data = p,
	    .len = len });

	assert_true(n > 0);
	assert_int_equal(send(k->worker, b, n, MSG_NOSIGNAL), n);
	free(b);
}

static void
check_fail(struct keyd *k, uint64_t id, const char *part)
{
	uint8_t b[KEYMSG_ANSWER_MAX];
	char why[KEYMSG_TEXT_MAX + 1];
	struct keymsg m;

	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_FAIL);
	assert_true(m.id == id);
	snprintf(why, sizeof(why), "%.*s", (int)m.text_len, m.text);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
check_closed(struct keyd *k)
{
	uint8_t b[KEYMSG_ANSWER_MAX];

	assert_int_equal(recv(k->worker, b, sizeof(b), 0), 0);
}

static size_t
challenge_message(uint8_t dst[48])
{
	memset(dst, 0, 48);
	memcpy(dst, "NTLMSSP", 8);
	dst[8] = 2;
	memcpy(dst + 24, chal, sizeof(chal));
	return 48;
}

static void
test_process(void **state)
{
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 10, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 10, auth, an);
	keyd_get(&k, &m, b);
	assert_int_equal(m.type, KEYMSG_KEY);
	assert_true(m.id == 10 && !m.mutual && m.len == 16);
	assert_memory_equal(m.data, key, 16);
	assert_int_equal(m.text_len, 17);
	assert_memory_equal(m.text, "alice@LAB.EXAMPLE", 17);
	/* Once. */
	keyd_put(&k, KEYMSG_NTLM_AUTH, 10, auth, an);
	check_fail(&k, 10, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 14, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 14, auth, an);
	check_fail(&k, 14, "asked about before");
	/* Never begun, as after a restart. */
	keyd_put(&k, KEYMSG_AP_REP, 5, c, cn);
	check_fail(&k, 5, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_AUTH, 11, auth, an);
	check_fail(&k, 11, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 12, c, cn);
	keyd_put(&k, KEYMSG_FORGET, 12, NULL, 0);
	keyd_put(&k, KEYMSG_FORGET, 12, NULL, 0);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 12, auth, an);
	check_fail(&k, 12, "knows nothing");
	/* Noise, of all sizes. */
	keyd_put(&k, KEYMSG_AP_REQ, 13, c, 1);
	check_fail(&k, 13, "not an AP-REQ");
	keyd_stop(&k);
}

/* A bad challenge is not kept; more exchanges than there may be push the oldest out. */
static void
test_process_limits(void **state)
{
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 1, c, 31);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 1, auth, an);
	check_fail(&k, 1, "knows nothing");
	for (uint64_t id = 2; id <= 4096 + 2; id++)
		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, id, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 2, auth, an);
	check_fail(&k, 2, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_AUTH, 3, auth, an);
	keyd_get(&k, &m, b);
	assert_int_equal(m.type, KEYMSG_KEY);
	keyd_stop(&k);
}

/* A message that its exchange does not expect ends that exchange, and no other. */
static void
test_process_order(void **state)
{
	static const struct {
		enum keymsg_type type;
		bool answered;
	} bad[] = {
		{ KEYMSG_NTLM_CHALLENGE, false },
		{ KEYMSG_AP_REQ, true },
		{ KEYMSG_AP_REP, true },
	};
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t hit = 100 - 10 * i, other = hit - 1;

		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, hit, c, cn);
		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, other, c, cn);
		keyd_put(&k, bad[i].type, hit, c, cn);
		if (bad[i].answered)
			check_fail(&k, hit, "out of order");
		keyd_put(&k, KEYMSG_NTLM_AUTH, hit, auth, an);
		check_fail(&k, hit, "knows nothing");
		/* That id, below one that was seen, and ended, is as good as any. */
		an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
		keyd_put(&k, KEYMSG_NTLM_AUTH, other, auth, an);
		keyd_get(&k, &m, b);
		assert_int_equal(m.type, KEYMSG_KEY);
		assert_true(m.id == other);
	}
	keyd_stop(&k);
}

/* The guard hears which worker is lost, gives it a new socket, and all is well. */
static void
check_lost(struct keyd *k)
{
	const uint8_t again[3] = { KEYD_WORKER, 0, 0 };
	uint8_t b[KEYMSG_ANSWER_MAX], c[48], packet[8];
	size_t cn = challenge_message(c);
	struct keymsg m;
	int w[2];

	assert_int_equal(recv(k->guard, packet, sizeof(packet), 0), 3);
	assert_int_equal(packet[0], KEYD_LOST);
	assert_int_equal(packet[1] | packet[2], 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w), 0);
	assert_int_equal(fdpass_send(k->guard, again, sizeof(again), w[1], 0), 0);
	close(w[1]);
	close(k->worker);
	k->worker = w[0];
	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_HELLO);
	keyd_put(k, KEYMSG_AP_REQ, 1, c, cn);
	check_fail(k, 1, "not an AP-REQ");
}

static void
test_process_garbage(void **state)
{
	uint8_t *big = calloc(1, KEYMSG_MAX + 100);
	struct keyd k;

	(void)state;
	keyd_start(&k);
	memset(big, 0xff, KEYMSG_MAX + 100);
	for (size_t n = 1; n < KEYMSG_MAX + 100; n = n < 20 ? n + 1 : n * 10) {
		assert_int_equal(send(k.worker, big, n, MSG_NOSIGNAL), n);
		check_closed(&k);
		check_lost(&k);
	}
	/* What only smbgate-keyd says. */
	keyd_put(&k, KEYMSG_HELLO, KEYMSG_VERSION, NULL, 0);
	check_closed(&k);
	check_lost(&k);
	/* A worker that hangs up. */
	shutdown(k.worker, SHUT_RDWR);
	check_lost(&k);
	keyd_stop(&k);
	free(big);
}

/* It says that it lives, whatever its workers do, also when it has much to do. */
static void
test_process_ping(void **state)
{
	static const char ping = KEYD_PING;
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct keyd k;
	char what;

	(void)state;
	keyd_start(&k);
	for (uint64_t i = 1; i <= 20; i++)
		keyd_put(&k, KEYMSG_AP_REQ, i, b, n);
	assert_int_equal(send(k.guard, &ping, 1, 0), 1);
	do
		assert_int_equal(recv(k.guard, &what, 1, 0), 1);
	while (what == KEYTAB_WANTED);
	assert_int_equal(what, KEYD_PONG);
	keyd_stop(&k);
}

/* An AP-REQ that no key fits makes it ask for the keytab again; the old reason comes with it. */
static void
test_process_again(void **state)
{
	static const char same = KEYTAB_SAME, absent[] = "Agone fishing";
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct keyd k;
	char what;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_AP_REQ, 1, b, n);
	assert_int_equal(recv(k.guard, &what, 1, 0), 1);
	assert_int_equal(what, KEYTAB_WANTED);
	assert_int_equal(send(k.guard, &same, 1, 0), 1);
	check_fail(&k, 1, "");
	/* Too soon to ask once more. */
	keyd_put(&k, KEYMSG_AP_REQ, 2, b, n);
	check_fail(&k, 2, "");
	assert_int_equal(send(k.guard, absent, strlen(absent), 0), strlen(absent));
	keyd_put(&k, KEYMSG_AP_REQ, 3, b, n);
	check_fail(&k, 3, "gone fishing");
	keyd_stop(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_process_limits),
		cmocka_unit_test(test_process_order),
		cmocka_unit_test(test_process_garbage),
		cmocka_unit_test(test_process_ping),
		cmocka_unit_test(test_process_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
