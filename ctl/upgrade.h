/* upgrade.h: another smbgate is started, and goes on for the one that runs */
#ifndef CTL_UPGRADE_H
#define CTL_UPGRADE_H

#include <stdbool.h>

/*
 * Becomes smbgate --takeover --daemon, whose exit status says how it went: the one beside this
 * program, or the one that is installed. conf: its smbgate.conf; NULL: the usual one. Returns only
 * where there is none.
 */
int upgrade_run(const char *conf, bool json);

#endif
