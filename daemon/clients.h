/* clients.h: pure: connections put together as clients, and those that an operator means */
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/json.h"
#include "proxy/parting.h"

struct conn_info;
struct sesstab;
struct who;

/* One that has a node; see client_ref. Its connections are at conns[0] to conns[n - 1]. */
struct client {
	struct client_ref ref;
	const struct conn_info *const *conns;
	size_t n;
	int64_t open_files;	/* -1: of one connection at least that cannot be seen */
	uint32_t heard_s;	/* any of them said something then */
	bool quiet;		/* but for the time */
	bool meant;		/* clients_mean() */
	char user[128];		/* of one of its sessions; "": not known */
};

struct clients {
	struct client *all;	/* sorted by ref */
	size_t n;
	const struct conn_info **conns;
};

/* conns is borrowed for as long. -1: memory is out; to be undone by clients_fini() in any case. */
int clients_init(struct clients *c, const struct conn_info *conns, size_t n)
    __attribute__((warn_unused_result));
void clients_fini(struct clients *c);
/* Names their users. */
void clients_users(struct clients *c, struct sesstab *sessions);

/*
 * Marks whom `who` means, and returns how many. A client is meant as a whole. Users are known
 * behind clients_users() only.
 */
size_t clients_mean(struct clients *c, struct sesstab *sessions, const struct who *who);

/* client (ClientGuid or address), user, node, connections, open_files. */
void client_json(const struct client *c, json_t *o);
/* The same in words. */
#define CLIENT_TEXT 320
const char *client_text(const struct client *c, char dst[CLIENT_TEXT]);

int client_ref_cmp(const struct client_ref *a, const struct client_ref *b);

#endif
