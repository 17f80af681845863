/* conf.h: smbgate.conf, read once at start */
#ifndef POLICY_CONF_H
#define POLICY_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "policy/acl.h"

struct errlist;

#define CONF_LISTEN_MAX 64
#define CONF_WORKERS_MAX 256
#define CONF_SERVERS_MAX 16
#define CONF_SOCKET_MAX 108

struct conf_listen {
	char name[64];
	struct addrport address;
	bool netbios;			/* NetBIOS session requests are answered: port 139 */
	bool intercept;			/* clients dial the nodes' own addresses: TPROXY */
	struct acl proxies;		/* allow rules: whose PROXY protocol header is believed */
};

/* Is this peer a proxy, which must begin with a PROXY protocol header and is believed? */
bool conf_is_proxy(const struct conf_listen *l, const struct addr *peer);

struct conf_server {
	struct addrport address;
	char path[CONF_SOCKET_MAX];	/* a unix socket; "": address */
};

/* Where Redis is, and who we are there. */
struct conf_redis {
	struct conf_server servers[CONF_SERVERS_MAX];
	size_t nservers;
	char *sentinel;			/* the master's name: servers are Sentinels; NULL: Redis */
	char *user, *password;		/* NULL: none */
	unsigned timeout_ms;		/* for one question, retries included */
};

/* All paths are absolute: relative ones are relative to the file. Defaults: conf.tbl.h. */
struct conf {
	char *path;
	char *policy;
	char *control;
	char *user;		/* NULL: keep the identity */
	char *keytab;		/* NULL: none */
	char *keyd_user;	/* NULL: smbgate-keyd's own */
	char *cluster_secret;	/* NULL: none */
	char *pid_file;		/* NULL: none */
	unsigned workers;	/* 0: see conf_workers() */
	struct conf_redis redis;	/* without servers the map of claims is in memory */
	char *redis_password;	/* file; NULL: none. conf_password() reads it */
	size_t nlisten;
	struct conf_listen listen[CONF_LISTEN_MAX];
};

/*
 * Loads the file, and puts every error into *e (zeroed and freed by the caller). With errors the
 * result serves only to find policy.conf, so that its errors can be told as well. NULL, with an
 * error, if the file could not be read at all.
 */
struct conf *conf_load(const char *path, struct errlist *e);
/* What it says, or one for each CPU that the process may use. */
unsigned conf_workers(const struct conf *c);
/* Reads the first line of the password-file. -1 with a static text that says what is wrong. */
int conf_password(struct conf *c, const char **why_r) __attribute__((warn_unused_result));
void conf_free(struct conf **c);

#endif
