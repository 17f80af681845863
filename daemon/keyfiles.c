/* keyfiles.c: the files of secrets at the start, and what the user that smbgate becomes can read */
#include "config.h"

#include "daemon/keyfiles.h"

#include "auth/secret.h"
#include "auth/tls.h"
#include "base/keyfile.h"
#include "base/keytab.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The user that smbgate is going to be. False: it stays who it is. */
static bool
user_to_be(const struct conf *conf, struct keyfile_user *user)
{
	const struct passwd *pw =
	    conf->user == NULL || geteuid() != 0 ? NULL : getpwnam(conf->user);

	if (pw != NULL)
		*user = (struct keyfile_user){ .uid = pw->pw_uid, .gid = pw->pw_gid };
	return pw != NULL;
}

/* One that others can have read or written is not for later. */
static void
check_keytab(const struct conf *conf, const char *from, struct errlist *e)
{
	char why[KEYFILE_WHY];
	int fd = keyfile_open(conf->keytab, NULL, why);

	if (fd != -1)
		close(fd);
	else if (errno == EKEYREJECTED)
		errlist_add(e, from, conf->keytab_line, "keytab %s: %s", conf->keytab, why);
}

static void
warn_keys(const struct conf *conf, int fd, struct errlist *w)
{
	char why[KEYTAB_WHY];
	struct keytab_use u;

	if (keytab_use(fd, conf->keytab_services, &u, why) == 0) {
		if (u.usable > 0)
			return;
		if (u.others > 0)
			snprintf(why, sizeof(why), "no key of %.64s is in it, and %zu of other "
			         "services: see keytab-services",
			    conf->keytab_services, u.others);
		else
			snprintf(why, sizeof(why), "no key in it that could be used%s",
			    u.unknown == 0 ? "" : ": all are of kinds that smbgate does not know");
	}
	errlist_add(w, conf->path, conf->keytab_line, "keytab %s: %s", conf->keytab,
	    why + (strncmp(why, "keytab: ", 8) == 0 ? 8 : 0));
}

void
keyfiles_keytab(const struct conf *conf, bool keys, struct errlist *w)
{
	char why[KEYFILE_WHY];
	int fd;

	if (conf->keytab == NULL)
		return;
	fd = keyfile_open(conf->keytab, NULL, why);
	if (fd == -1) {
		errlist_add(w, conf->path, conf->keytab_line, "keytab %s: %s", conf->keytab, why);
		return;
	}
	if (keys)
		warn_keys(conf, fd, w);
	close(fd);
}

static void
certificates_load(const struct conf *conf, const char *from, const struct keyfile_user *also,
    struct tls **tls, struct errlist *e)
{
	const struct tls_conf c = { .ca_file = conf->tls_ca, .cert_file = conf->tls_cert,
		.key_file = conf->tls_key, .name = conf->redis.tls_name };
	char why[KEYFILE_WHY];

	/* Without the one, or one of the others, that has been said. */
	if (!conf->redis.tls || c.ca_file == NULL || (c.cert_file == NULL) != (c.key_file == NULL))
		return;
	*tls = tls_new(&c, also, why);
	if (*tls == NULL)
		errlist_add(e, from, conf->tls_line, "state \"redis\": %s", why);
}

void
keyfiles_load(struct conf *conf, const char *from, struct secret *secret, struct tls **tls,
    struct errlist *e)
{
	struct keyfile_user user, *also = user_to_be(conf, &user) ? &user : NULL;
	char why[KEYFILE_WHY];

	if (conf->cluster_secret != NULL &&
	    secret_load(secret, conf->cluster_secret, also, why) == -1)
		errlist_add(e, from, conf->secret_line, "cluster-secret %s: %s",
		    conf->cluster_secret, why);
	if (conf_password(conf->redis_password, &conf->redis.password, also, why) == -1)
		errlist_add(e, from, conf->password_line, "password-file %s: %s",
		    conf->redis_password, why);
	if (conf_password(conf->sentinel_password, &conf->redis.sentinel_password, also,
	        why) == -1)
		errlist_add(e, from, conf->sentinel_line, "sentinel-password-file %s: %s",
		    conf->sentinel_password, why);
	certificates_load(conf, from, also, tls, e);
	if (conf->keytab != NULL)
		check_keytab(conf, from, e);
}

static void
warn_password(const struct conf *conf, const char *option, const char *path, int line,
    struct errlist *w)
{
	char why[KEYFILE_WHY], text[512] = "";

	if (path != NULL && keyfile_line(path, NULL, text, sizeof(text), why) == -1)
		errlist_add(w, conf->path, line,
		    "user \"%s\" cannot read the %s again, so a changed password takes a "
		    "restart: %s: %s",
		    conf->user, option, path, why);
	explicit_bzero(text, sizeof(text));
}

void
keyfiles_warn(const struct conf *conf, struct tls *tls, struct errlist *w)
{
	struct errlist e = { .n = 0 };
	char why[KEYFILE_WHY];
	struct policy *p;

	if (conf->user == NULL)
		return;
	p = schema_load(conf->policy, &e);
	if (e.n > 0)
		errlist_add(w, conf->path, conf->user_line,
		    "user \"%s\" cannot read the policy again, so no reload will work: %s",
		    conf->user, e.text[0]);
	policy_unref(&p);
	errlist_fini(&e);
	warn_password(conf, "password-file", conf->redis_password, conf->password_line, w);
	warn_password(conf, "sentinel-password-file", conf->sentinel_password, conf->sentinel_line,
	    w);
	if (tls != NULL && tls_check(tls, why) == -1)
		errlist_add(w, conf->path, conf->tls_line,
		    "user \"%s\" cannot read the certificates for Redis again, so new ones "
		    "take a restart: %s",
		    conf->user, why);
}
