/* keyd-channel.c: a worker's channel in smbgate-keyd that cannot be opened */
#include "config.h"

#include "keyd/channel.h"
#include "keyd/exchange.h"
#include "keyd/rules.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* Stands in for keyd/exchange.c and keyd/rules.c: whether there is memory is said here. */
static bool memory;

struct exchanges {
	int nothing;
};

struct exchanges *
exchanges_new(const struct exchange_env *env, void (*answer)(void *arg, const struct keymsg *m),
    void *arg)
{
	(void)env;
	(void)answer;
	(void)arg;
	return memory ? calloc(1, sizeof(struct exchanges)) : NULL;
}

void
exchanges_free(struct exchanges **e)
{
	free(*e);
	*e = NULL;
}

void
exchanges_take(struct exchanges *e, struct keyd_keys *keys, const struct keymsg *m,
    uint64_t now_ms)
{
	(void)e;
	(void)keys;
	(void)m;
	(void)now_ms;
}

void
rules_count(struct rules *r, enum keyd_count what, const char *text)
{
	(void)r;
	(void)what;
	(void)text;
}

/* The guard knew that the socket was gone, and has given another one: of that it is told, too. */
static void
no_memory(void **state)
{
	const struct exchange_env env = { .no_ntlm = "" };
	struct channel ch;
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_not_equal(fd, -1);
	channel_init(&ch, 3, 10, 0);
	ch.told = true;
	memory = false;
	assert_int_equal(channel_open(&ch, &env, fd), -1);
	assert_int_equal(ch.fd, -1);
	assert_false(ch.told);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	/* The next one. */
	fd = eventfd(0, EFD_CLOEXEC);
	memory = true;
	assert_int_equal(channel_open(&ch, &env, fd), 0);
	assert_int_equal(ch.fd, fd);
	channel_close(&ch, NULL);
	assert_false(ch.told);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
