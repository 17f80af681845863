/* landlock.h: what files this process, and all that it starts, can still get at */
#ifndef DAEMON_LANDLOCK_H
#define DAEMON_LANDLOCK_H

#include <linux/landlock.h>
#include <stdint.h>

/* Builds with sanitizers need more: gcc's and clang's ways to say that it is one. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#define MAY_WRITE 1		/* it writes files of reports */
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED 1
#define MAY_WRITE 0
#else
#define SANITIZED 0
#define MAY_WRITE 0
#endif

#define LANDLOCK_READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LANDLOCK_RUNNING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
/* Everything that the first version of Landlock knows. */
#define LANDLOCK_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* Rules: a descriptor, or -1: this kernel has no Landlock. */
int landlock_new(void);

/* Allows that below a path. What does not exist needs no rule. 0, or -1 with errno. */
int landlock_allow(int rules, const char *path, uint64_t access)
    __attribute__((warn_unused_result));

/*
 * From here on, unless r, which allowing came to, is -1: no more than the rules allow. Logs what
 * fails, and closes the rules.
 */
void landlock_enter(int rules, int r);

#endif
