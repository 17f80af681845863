/* conf.h: smbgate.conf, read once at start */
#ifndef POLICY_CONF_H
#define POLICY_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/logrecord.h"
#include "policy/acl.h"

struct errlist;
struct keyfile_user;

#define CONF_LISTEN_MAX 64
#define CONF_WORKERS_MAX 256
#define CONF_SERVERS_MAX 16
#define CONF_SOCKET_MAX 108
/* Names of Kerberos services: so many, so long with a comma. */
#define CONF_SERVICES_MAX 16
#define CONF_SERVICE_LEN 32
#define CONF_HTTP_PORT 9445

/* AUTO: NetBIOS in front of the first message is heeded. TRUE: all of it, as on port 139. */
enum conf_netbios { CONF_NETBIOS_FALSE, CONF_NETBIOS_TRUE, CONF_NETBIOS_AUTO };

struct conf_listen {
	char name[64];
	struct addrport address;
	int line;			/* of the address */
	bool lacks_brackets;		/* it ends in what was to be a port */
	unsigned index;			/* which of conf's it is */
	enum conf_netbios netbios;
	bool intercept;			/* clients dial the nodes' own addresses: TPROXY */
	char cluster[64];		/* whose nodes its clients get; "": the policy's */
	struct acl proxies;		/* allow rules: whose PROXY protocol header is believed */
};

/* Is this peer a proxy, which must begin with a PROXY protocol header and is believed? */
bool conf_is_proxy(const struct conf_listen *l, const struct addr *peer);

struct conf;
struct ownaddr;

/*
 * Pure. The listener that takes connections to that address, by its index, or -1: one has that very
 * address, or all addresses with that port, and the address is among those of this machine.
 */
int conf_listener_at(const struct conf *c, const struct addrport *a, const struct ownaddr *own);

/* Is there a listener whose clients dial the nodes themselves? */
bool conf_intercepts(const struct conf *c);

struct conf_server {
	struct addrport address;
	char path[CONF_SOCKET_MAX];	/* a unix socket; "": address */
};

/* Where Redis is, and who we are there. */
struct conf_redis {
	struct conf_server servers[CONF_SERVERS_MAX];
	size_t nservers;
	char *sentinel;			/* the master's name: servers are Sentinels; NULL: Redis */
	char *user, *password;		/* NULL: none; as they were at the start */
	char *sentinel_user, *sentinel_password;	/* the same, for Sentinels */
	bool tls;
	char *tls_name;			/* in each server's certificate; NULL: its address */
	unsigned timeout_ms;		/* for one question, retries included */
};

/* All paths are absolute: relative ones are relative to the file. Defaults: conf.tbl.h. */
struct conf {
	char *path;
	char *policy;
	char *control;
	char *control_group;	/* who else may look, by the control socket; NULL: nobody */
	char *user;		/* NULL: keep the identity */
	char *keytab;		/* NULL: none */
	char keytab_services[CONF_SERVICES_MAX * CONF_SERVICE_LEN];	/* "cifs,host" */
	unsigned keytab_rate;	/* questions a second of a worker to smbgate-keyd */
	char *keyd_user;	/* NULL: smbgate-keyd's own */
	char *cluster_secret;	/* NULL: none */
	char *pid_file;		/* NULL: none */
	bool confine;		/* daemon/confine.h */
	enum log_format log_format;
	enum log_level log_level;
	bool http;		/* it is seen over HTTP, there: */
	struct addrport http_address;
	int http_line;
	bool http_details;	/* names of users and addresses of clients, too */
	unsigned workers;	/* 0: see conf_workers() */
	struct conf_redis redis;	/* without servers the map of claims is in memory */
	/* Files; NULL: none. conf_password() reads the first two. */
	char *redis_password, *sentinel_password;
	char *tls_ca, *tls_cert, *tls_key;
	/* Where the key files are named. */
	int keytab_line, secret_line, password_line, sentinel_line, tls_line;
	/* The same, of others. 0, as there: it is not named. */
	int policy_line, control_line, group_line, user_line, keyd_user_line, pid_line;
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
/*
 * Reads the first line of a file, which keyfile_open() has to find good: see also and the
 * KEYFILE_WHY bytes of why there. An allocated *password, or NULL where file is NULL. 0, or -1 and
 * why says what is wrong.
 */
int conf_password(const char *file, char **password, const struct keyfile_user *also, char *why)
    __attribute__((warn_unused_result));
void conf_free(struct conf **c);

#endif
