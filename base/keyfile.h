/* keyfile.h: opens a file of secrets, if nobody but us can have read or written it */
#ifndef BASE_KEYFILE_H
#define BASE_KEYFILE_H

#include <stddef.h>
#include <sys/types.h>

#define KEYFILE_WHY 224

/* Who may own such a file, or have it for a group, beside root and this process itself. */
struct keyfile_user {
	uid_t uid;
	gid_t gid;
};

/*
 * The file belongs to root, to us or to also (NULL: nobody else). Nobody else may write it, and
 * nobody may read it but a group of ours. Each directory on the way is root's or ours, and others
 * write there at most under the sticky bit (or as root's group); so is each symbolic link, and they
 * are followed: Kubernetes mounts secrets as links. What is also's own could lead to a file that
 * also may not read. A descriptor to read from; or -1: *why says what is wrong, and errno is
 * EKEYREJECTED where it is an owner or a mode.
 */
int keyfile_open(const char *path, const struct keyfile_user *also, char why[KEYFILE_WHY])
    __attribute__((warn_unused_result));

/* The first line of such a file, without its end; it is not empty. 0, or -1 as above. */
int keyfile_line(const char *path, const struct keyfile_user *also, char *dst, size_t cap,
    char why[KEYFILE_WHY]) __attribute__((warn_unused_result));

#endif
