/* base-log.c: unit tests of the log's sink: a reader that hangs, goes, returns; many threads */
#include "config.h"

#include "base/log.h"

#include "base/logline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* More than any pipe or socket here takes. */
#define MANY 20000
#define THREADS 4
#define TEXT_MAX (4u << 20)

struct target {
	int saved;	/* the real stderr */
	int reader;
};

/* stderr is the writing end; a log that blocks is a test that the alarm ends. */
static struct target
target_new(const int fds[2])
{
	struct target t = { .saved = dup(STDERR_FILENO), .reader = fds[0] };

	assert_true(t.saved >= 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	close(fds[1]);
	assert_int_equal(log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_INFO), 0);
	alarm(60);
	return t;
}

static struct target
target_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	return target_new(fds);
}

static void
target_free(struct target *t)
{
	alarm(0);
	log_close();
	assert_true(dup2(t->saved, STDERR_FILENO) >= 0);
	close(t->saved);
	if (t->reader != -1)
		close(t->reader);
}

/* What can be read now, appended to text. */
static void
drain(const struct target *t, char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	assert_int_equal(fcntl(t->reader, F_SETFL, O_NONBLOCK), 0);
	while ((n = read(t->reader, text + len, TEXT_MAX - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	assert_int_equal(fcntl(t->reader, F_SETFL, 0), 0);
}

/* Whole lines of ours, and the sum of what is said to have been dropped. Nothing else is there. */
static void
count(const char *text, unsigned long *got, unsigned long *dropped)
{
	unsigned long n;
	int end;

	*got = *dropped = 0;
	for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		assert_non_null(strchr(line, '\n'));
		/* Where stderr is a file there is a time. */
		line += strncmp(line, "20", 2) == 0 ? strcspn(line, " ") + 1 : 0;
		end = 0;
		if (sscanf(line, "info: line %*u of thread %*u, and some more to fill it up%n",
		        &end) != EOF &&
		    end > 0) {
			(*got)++;
			continue;
		}
		assert_int_equal(sscanf(line,
		    "warning: log lines dropped because nobody read the log: %lu", &n), 1);
		*dropped += n;
	}
}

static void
say(unsigned i, unsigned thread)
{
	log_info("line %u of thread %u, and some more to fill it up", i, thread);
}

static void
check_hung(struct target *t)
{
	char *text = calloc(1, TEXT_MAX);
	unsigned long got, dropped;

	assert_non_null(text);
	for (unsigned i = 0; i < MANY; i++)
		say(i, 0);
	drain(t, text);
	count(text, &got, &dropped);
	assert_true(got > 100 && got < MANY);
	assert_int_equal(dropped, 0);
	/* The reader is back: what is missing is said, in front of what is new. */
	say(MANY, 0);
	drain(t, text);
	count(text, &got, &dropped);
	assert_int_equal(got + dropped, MANY + 1);
	assert_non_null(strstr(text, "\ninfo: line 20000 "));
	free(text);
}

static void
hung_pipe(void **state)
{
	struct target t = target_pipe();

	(void)state;
	check_hung(&t);
	target_free(&t);
}

/* As stderr is under systemd. */
static void
hung_socket(void **state)
{
	struct target t;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t = target_new(fds);
	check_hung(&t);
	target_free(&t);
}

/* Others share the open file of our stderr: it stays as they know it. */
static void
stderr_still_blocks(void **state)
{
	struct target t = target_pipe();

	(void)state;
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	target_free(&t);
}

static void
caught_up(void **state)
{
	struct target t = target_pipe();
	char *text = calloc(1, TEXT_MAX);
	unsigned long got, dropped;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < MANY; i++)
		say(i, 0);
	/* Still full: nothing is lost of the count. */
	log_catch_up();
	drain(&t, text);
	log_catch_up();
	log_catch_up();
	drain(&t, text);
	count(text, &got, &dropped);
	assert_int_equal(got + dropped, MANY);
	free(text);
	target_free(&t);
}

static void
reader_gone(void **state)
{
	struct target t = target_pipe();

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	close(t.reader);
	t.reader = -1;
	for (unsigned i = 0; i < 100; i++)
		say(i, 0);
	target_free(&t);
	/* Said on the stderr of this test, so that the next one begins with nothing owed. */
	log_catch_up();
}

static void *
thread_main(void *arg)
{
	const unsigned *number = arg;

	for (unsigned i = 0; i < MANY / THREADS; i++)
		say(i, *number);
	return NULL;
}

/* Many at once, with a reader that reads now and then: whole lines, and every one accounted for. */
static void
threads(void **state)
{
	struct target t = target_pipe();
	unsigned numbers[THREADS];
	pthread_t ids[THREADS];
	char *text = calloc(1, TEXT_MAX);
	unsigned long got, dropped;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&ids[i], NULL, thread_main, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		drain(&t, text);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	drain(&t, text);
	log_catch_up();
	drain(&t, text);
	count(text, &got, &dropped);
	assert_int_equal(got + dropped, MANY / THREADS * THREADS);
	free(text);
	target_free(&t);
}

static void
file(void **state)
{
	char *text = calloc(1, TEXT_MAX);
	unsigned long got, dropped;
	FILE *f = tmpfile();
	struct target t;
	int fds[2];

	(void)state;
	assert_non_null(text);
	assert_non_null(f);
	fds[0] = -1;
	fds[1] = dup(fileno(f));
	t = target_new(fds);
	for (unsigned i = 0; i < MANY; i++)
		say(i, 0);
	target_free(&t);
	rewind(f);
	text[fread(text, 1, TEXT_MAX - 1, f)] = '\0';
	fclose(f);
	count(text, &got, &dropped);
	assert_int_equal(got, MANY);
	assert_int_equal(dropped, 0);
	free(text);
}

/* What JOURNAL_STREAM says of fd, with dev and ino off by so much. */
static void
journal_env(int fd, unsigned dev, unsigned ino)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev + dev,
	    (unsigned long long)st.st_ino + ino);
	assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
}

static void
journal_line(unsigned dev, unsigned ino, enum log_format format, const char *want)
{
	char *text = calloc(1, TEXT_MAX);
	struct target t;
	int fds[2];

	assert_non_null(text);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	journal_env(fds[1], dev, ino);
	t = target_new(fds);
	assert_int_equal(log_open(false, format, LOG_LEVEL_DEBUG), 0);
	log_error("it %s", "hangs");
	log_debug("it turns");
	drain(&t, text);
	assert_memory_equal(text, want, strlen(want));
	target_free(&t);
	unsetenv("JOURNAL_STREAM");
	free(text);
}

/* Priorities where it is the journal that reads, and nowhere else. */
static void
journal(void **state)
{
	(void)state;
	journal_line(0, 0, LOG_FORMAT_TEXT, "<3>it hangs\n<7>it turns\n");
	journal_line(0, 0, LOG_FORMAT_JSON, "<3>{\"ts\":");
	journal_line(0, 1, LOG_FORMAT_TEXT, "error: it hangs\ndebug: it turns\n");
	journal_line(1, 0, LOG_FORMAT_TEXT, "error: it hangs\ndebug: it turns\n");
}

static void *
close_some(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 500; i++)
		log_conn(LOG_LEVEL_INFO, (struct log_fields){ .event = LOG_EVENT_CLOSED }, "bad");
	return NULL;
}

/* Lines of an event, by all threads: what is over the budget is counted, and said by a timer. */
static void
budget(void **state)
{
	const uint64_t before = log_suppressed(LOG_EVENT_CLOSED);
	const unsigned most = log_event_budget(LOG_EVENT_CLOSED);
	struct target t = target_pipe();
	char *text = calloc(1, TEXT_MAX), *said;
	unsigned got = 0, unsaid;
	pthread_t ids[THREADS];

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, close_some, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	/* Another event has its own; what is for those who want all has none. */
	log_set_level(LOG_LEVEL_DEBUG);
	log_conn(LOG_LEVEL_INFO, (struct log_fields){ .event = LOG_EVENT_LOGON }, "other");
	for (unsigned i = 0; i <= most; i++)
		log_conn(LOG_LEVEL_DEBUG, (struct log_fields){ .event = LOG_EVENT_CLOSED }, "good");
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(log_get_level(), LOG_LEVEL_INFO);
	drain(&t, text);
	for (char *p = text; (p = strstr(p, ": bad\n")) != NULL; p++)
		got++;
	assert_in_range(got, most, 500 * THREADS - 1);
	assert_int_equal(log_suppressed(LOG_EVENT_CLOSED) - before, 500 * THREADS - got);
	assert_non_null(strstr(text, ": other\n"));
	assert_non_null(strstr(text, "debug: conn 0 ?: good\n"));
	assert_null(strstr(text, "left out"));
	log_catch_up();
	log_catch_up();
	text[0] = '\0';
	drain(&t, text);
	assert_int_equal(sscanf(text, "warning: %u lines left out: more than 100 of \"closed\"",
	    &unsaid), 1);
	assert_int_equal(got + unsaid, 500 * THREADS);
	/* Once. */
	said = strchr(text, '\n');
	assert_int_equal(said[1], '\0');
	free(text);
	target_free(&t);
}

/* What is dropped is said in the format of the log. */
static void
dropped_json(void **state)
{
	struct target t = target_pipe();
	char *text = calloc(1, TEXT_MAX), *last;
	unsigned long n;

	(void)state;
	assert_non_null(text);
	assert_int_equal(log_open(false, LOG_FORMAT_JSON, LOG_LEVEL_INFO), 0);
	for (unsigned i = 0; i < MANY; i++)
		log_about(LOG_LEVEL_INFO, (struct log_fields){ .event = LOG_EVENT_NODE }, "no");
	drain(&t, text);
	text[0] = '\0';
	log_catch_up();
	drain(&t, text);
	last = strstr(text, "\"event\":\"suppressed\"");
	assert_non_null(last);
	assert_int_equal(text[0], '{');
	last = strstr(text, "\"count\":");
	assert_int_equal(sscanf(last, "\"count\":%lu}", &n), 1);
	assert_int_equal(log_suppressed(LOG_EVENT_NODE), n);
	free(text);
	target_free(&t);
	log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_close();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hung_pipe),
		cmocka_unit_test(hung_socket),
		cmocka_unit_test(stderr_still_blocks),
		cmocka_unit_test(caught_up),
		cmocka_unit_test(reader_gone),
		cmocka_unit_test(threads),
		cmocka_unit_test(file),
		cmocka_unit_test(journal),
		cmocka_unit_test(budget),
		cmocka_unit_test(dropped_json),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
