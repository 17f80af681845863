/* upgrade.c: another smbgate is started, and goes on for the one that runs */
#include "config.h"

#include "ctl/upgrade.h"

#include "ctl/failure.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the same installation, or of the same build. */
static void
find_smbgate(char path[PATH_MAX])
{
	static const char *const places[] = { "/smbgate", "/../daemon/smbgate",
		"/../sbin/smbgate" };
	char self[PATH_MAX - 32] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash = n <= 0 ? NULL : strrchr(self, '/');

	if (slash != NULL)
		*slash = '\0';
	for (size_t i = 0; slash != NULL && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, PATH_MAX, "%s%s", self, places[i]);
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s", SBINDIR "/smbgate");
}

int
upgrade_run(const char *conf, bool json)
{
	char path[PATH_MAX];

	find_smbgate(path);
	/* One NULL ends the arguments, whichever it is. */
	execl(path, "smbgate", "--takeover", "--daemon", conf == NULL ? NULL : "-c", conf,
	    (char *)NULL);
	failure_print(failure("%s: %s", path, strerror(errno)), json);
	return EXIT_FAILURE;
}
