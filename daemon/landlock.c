/* landlock.c: what files this process, and all that it starts, can still get at */
#include "config.h"

#include "daemon/landlock.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
landlock_create(const struct landlock_ruleset_attr *attr, size_t size, uint32_t flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

int
landlock_new(void)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ALL };
	int abi = landlock_create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		return -1;
	/* Linking across directories: from the second on. */
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	return landlock_create(&attr, sizeof(attr), 0);
}

int
landlock_allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr a = {
		.allowed_access = access,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	int r;

	if (a.parent_fd == -1)
		return errno == ENOENT || errno == EACCES ? 0 : -1;
	r = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
	close(a.parent_fd);
	return r;
}

void
landlock_enter(int rules, int r)
{
	if (r == 0)
		r = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	if (r == -1)
		log_warn("access to files cannot be restricted: %s", strerror(errno));
	close(rules);
}
