/* keyring.c: in a kernel.Machine: a command as another user, and logons that the kernel asks for */
/*
 * as UID KEY VALUE COMMAND...: in a session of its own with that key, which is what cifscreds makes
 * of a password; KEY "-": without one.
 *
 * /sbin/request-key create KEY UID GID RING RING RING: as the kernel calls it for sec=krb5. What
 * cifs.upcall would say is in files /run/krb5/UID/N, each good for one logon; the user that is
 * meant is in the key's description.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/keyctl.h>
#include <sys/syscall.h>

static int
request_key(int key)
{
	char text[1024], folder[64], path[384], blob[16384];
	const char *uid;
	struct dirent *e;
	DIR *d;
	ssize_t n;
	int fd;

	if (syscall(SYS_keyctl, KEYCTL_ASSUME_AUTHORITY, key) == -1 ||
	    syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof(text)) == -1)
		return 1;
	uid = strstr(text, ";creduid=0x");
	if (uid == NULL)
		return 1;
	snprintf(folder, sizeof(folder), "/run/krb5/%ld", strtol(uid + 11, NULL, 16));
	d = opendir(folder);
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		fd = open(path, O_RDONLY);
		/* who takes it away has it */
		if (fd == -1 || unlink(path) == -1)
			continue;
		n = read(fd, blob, sizeof(blob));
		if (n > 0 && syscall(SYS_keyctl, KEYCTL_INSTANTIATE, key, blob, n, 0) == 0)
			return 0;
	}
	return 1;
}

int
main(int argc, char **argv)
{
	long uid;

	if (argc > 5 && strstr(argv[0], "request-key") != NULL)
		return request_key(atoi(argv[2]));
	if (argc < 5)
		return 2;
	uid = atol(argv[1]);
	if (setresgid(uid, uid, uid) == -1 || setresuid(uid, uid, uid) == -1 ||
	    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) == -1)
		return 3;
	if (strcmp(argv[2], "-") != 0 && syscall(SYS_add_key, "logon", argv[2], argv[3],
	    strlen(argv[3]), KEY_SPEC_SESSION_KEYRING) == -1) {
		perror("add_key");
		return 4;
	}
	execvp(argv[4], argv + 4);
	perror(argv[4]);
	return 5;
}
