/* base-keyfile.c: whose files of secrets are taken, on whatever way they are reached */
#include "config.h"

#include "base/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Of nobody. */
#define STRANGER 61997
#define OTHER 61998

static char top[] = "/tmp/keyfile-XXXXXX";

/* A name below top; four of them at a time. */
static const char *
below(const char *name)
{
	static char text[4][PATH_MAX];
	static unsigned n;
	char *p = text[n++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

static void
make_file(const char *name, mode_t mode)
{
	int fd = open(below(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "secret\nrest\n", 12), 12);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
make_directory(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(below(name), 0700), 0);
	assert_int_equal(chmod(below(name), mode), 0);
}

static void
make_link(const char *to, const char *name)
{
	assert_int_equal(symlink(to, below(name)), 0);
}

static void
give(const char *name, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(lstat(below(name), &st), 0);
	assert_int_equal(lchown(below(name), uid, gid), 0);
	if (!S_ISLNK(st.st_mode))
		assert_int_equal(chmod(below(name), st.st_mode & 07777), 0);
}

static void
taken(const char *name, const struct keyfile_user *also)
{
	char why[KEYFILE_WHY] = "", byte;
	int fd = keyfile_open(below(name), also, why);

	if (fd == -1)
		fail_msg("%s: %s", name, why);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 's');
	close(fd);
}

/* said: a part of the reason. rejected: for an owner or a mode. */
static void
refused(const char *name, const struct keyfile_user *also, bool rejected, const char *said)
{
	char why[KEYFILE_WHY] = "";

	assert_int_equal(keyfile_open(below(name), also, why), -1);
	assert_int_equal(errno == EKEYREJECTED, rejected);
	if (strstr(why, said) == NULL)
		fail_msg("%s: \"%s\" has no \"%s\"", name, why, said);
}

static void
test_modes(void **state)
{
	static const mode_t bad[] = { 0644, 0604, 0620, 0602, 0666, 0601, 0660, 0670 };
	char text[16];

	(void)state;
	make_file("a", 0600);
	taken("a", NULL);
	assert_int_equal(chmod(below("a"), 0400), 0);
	taken("a", NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(chmod(below("a"), bad[i]), 0);
		snprintf(text, sizeof(text), "mode %04o", (unsigned)bad[i]);
		refused("a", NULL, true, text);
	}
	/* Our own group. */
	assert_int_equal(chmod(below("a"), 0640), 0);
	taken("a", NULL);
	refused("gone", NULL, false, "No such file");
	make_directory("dir", 0700);
	refused("dir", NULL, false, "not a regular file");
	refused("a/b", NULL, false, "not a regular file");
	assert_int_equal(mkfifo(below("fifo"), 0600), 0);
	refused("fifo", NULL, false, "not a regular file");
}

static void
test_owners(void **state)
{
	const struct keyfile_user also = { .uid = STRANGER, .gid = STRANGER };

	(void)state;
	if (geteuid() != 0)
		skip();
	make_file("o", 0600);
	give("o", STRANGER, 0);
	refused("o", NULL, true, "it has owner 61997, group 0, mode 0600");
	taken("o", &also);
	give("o", OTHER, 0);
	refused("o", &also, true, "owner 61998");
	/* In a directory of its own that user could put a link to a file of root's in its place. */
	make_directory("theirs", 0755);
	give("theirs", STRANGER, 0);
	make_file("theirs/o", 0600);
	refused("theirs/o", &also, true, "/theirs has owner 61997");
	/* A group's: of the user that smbgate becomes, and of nobody. */
	give("o", 0, STRANGER);
	assert_int_equal(chmod(below("o"), 0440), 0);
	refused("o", NULL, true, "group 61997, mode 0440");
	taken("o", &also);
}

static void
test_ways(void **state)
{
	(void)state;
	make_directory("way", 0755);
	make_directory("way/in", 0755);
	make_file("way/in/a", 0600);
	taken("way/in/a", NULL);
	taken("way/../way/./in//a", NULL);
	assert_int_equal(chmod(below("way"), 0777), 0);
	refused("way/in/a", NULL, true, "/way has owner");
	/* As /tmp is: what is ours there stays ours. */
	assert_int_equal(chmod(below("way"), 01777), 0);
	taken("way/in/a", NULL);
	assert_int_equal(chmod(below("way"), 0755), 0);
	make_link("in/a", "way/link");
	taken("way/link", NULL);
	make_link(below("way/in"), "absolute");
	taken("absolute/a", NULL);
	make_link("link/again", "way/again");
	refused("way/again", NULL, false, "not a regular file");
	make_link("round", "way/round");
	refused("way/round", NULL, false, "oo many levels");
	make_link("nowhere", "way/dangling");
	refused("way/dangling", NULL, false, "No such file");
	if (geteuid() != 0)
		return;
	give("way/link", STRANGER, STRANGER);
	refused("way/link", NULL, true, "right would be a link of");
	refused("way/link", &(struct keyfile_user){ STRANGER, STRANGER }, true, "a link of");
	give("way/in", STRANGER, STRANGER);
	refused("absolute/a", NULL, true, "/way/in has owner 61997");
	/* Root's group is root; another one is others. */
	give("way/in", 0, 0);
	assert_int_equal(chmod(below("way/in"), 0775), 0);
	taken("way/in/a", NULL);
	give("way/in", 0, STRANGER);
	refused("way/in/a", NULL, true, "mode 0775");
}

/* drwxrwsrwt, a link to a link's directory, files that the pod's group may read. */
static void
test_kubernetes(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_directory("vol", 0755);
	make_directory("vol/..2026", 0755);
	make_file("vol/..2026/key", 0440);
	make_link("..2026", "vol/..data");
	make_link("..data/key", "vol/key");
	give("vol/..2026", 0, OTHER);
	give("vol/..2026/key", 0, OTHER);
	give("vol", 0, OTHER);
	assert_int_equal(chmod(below("vol"), 03777), 0);
	refused("vol/key", NULL, true, "group 61998");
	/* The process that is in that group, as one with fsGroup is. */
	assert_int_equal(setgroups(1, (gid_t[]){ OTHER }), 0);
	taken("vol/key", NULL);
	assert_int_equal(setgroups(0, NULL), 0);
	give("vol/..data", STRANGER, OTHER);
	refused("vol/key", NULL, true, "/vol/..data has owner 61997");
}

static void
test_line(void **state)
{
	char text[16], why[KEYFILE_WHY];

	(void)state;
	make_file("line", 0600);
	assert_int_equal(keyfile_line(below("line"), NULL, text, sizeof(text), why), 0);
	assert_string_equal(text, "secret");
	/* No more than there is room for. */
	assert_int_equal(keyfile_line(below("line"), NULL, text, 4, why), 0);
	assert_string_equal(text, "sec");
	assert_int_equal(truncate(below("line"), 0), 0);
	assert_int_equal(keyfile_line(below("line"), NULL, text, sizeof(text), why), -1);
	assert_string_equal(why, "the first line is empty");
	assert_int_equal(chmod(below("line"), 0644), 0);
	assert_int_equal(keyfile_line(below("line"), NULL, text, sizeof(text), why), -1);
	assert_non_null(strstr(why, "mode 0644"));
}

static int
begin(void **state)
{
	(void)state;
	return mkdtemp(top) == NULL || chmod(top, 0755) == -1 ? -1 : 0;
}

static int
end(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_kubernetes),
		cmocka_unit_test(test_line),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, begin, end);
}
