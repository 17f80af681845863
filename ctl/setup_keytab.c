/* setup_keytab.c: is the set-up right? The keytab, and the key numbers that the KDC has */
#include "config.h"

#include "base/keyfile.h"
#include "base/keytab.h"
#include "ctl/found.h"
#include "ctl/program.h"
#include "ctl/setup.h"
#include "ctl/setup_priv.h"
#include "policy/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID "keytab-spn"
#define NAME_MAX_LEN 256
#define LOGONS_MAX 8

/* What the keytab has of one name. */
struct spn {
	const char *name;		/* of the server */
	const char *services;		/* as keytab-services has them */
	uint32_t kvno;			/* the highest */
	unsigned keys;
	char principal[NAME_MAX_LEN];	/* "cifs/nas@REALM"; "": none */
	/* The account's own name, "NAS$@REALM": its keys open tickets for each of its SPNs. */
	char account[NAME_MAX_LEN];
	uint32_t account_kvno;		/* the highest */
	const char *has;		/* what to call the key that is compared: one of the two */
	/* Who may log on with it: itself, or "", and others, for its own may be old. */
	char logon[LOGONS_MAX][NAME_MAX_LEN];
	unsigned nlogons;
};

static void
principal_of(const struct keytab_entry *e, char dst[NAME_MAX_LEN])
{
	size_t n = 0;

	for (size_t i = 0; i < e->ncomponents && n < NAME_MAX_LEN; i++)
		n += (size_t)snprintf(dst + n, NAME_MAX_LEN - n, "%s%.*s", i > 0 ? "/" : "",
		    (int)e->component[i].n, e->component[i].p);
	if (n < NAME_MAX_LEN)
		snprintf(dst + n, NAME_MAX_LEN - n, "@%.*s", (int)e->realm.n, e->realm.p);
}

static void
add_logon(struct spn *s, const struct keytab_entry *e)
{
	char who[NAME_MAX_LEN] = "";

	principal_of(e, who);
	for (unsigned i = 1; i < s->nlogons; i++)
		if (strcmp(s->logon[i], who) == 0)
			return;
	if (s->nlogons < LOGONS_MAX)
		memcpy(s->logon[s->nlogons++], who, sizeof(who));
}

static void
note_account(struct spn *s, const struct keytab_entry *e)
{
	const struct keytab_text *name = &e->component[0];

	if (e->ncomponents != 1 || name->n == 0 || name->p[name->n - 1] != '$')
		return;
	if (s->account[0] == '\0')
		principal_of(e, s->account);
	if (e->kvno > s->account_kvno)
		s->account_kvno = e->kvno;
}

/* The keytab has no key of that name, but one of the account, which does where the KDC says so. */
static void
take_account(struct spn *s)
{
	const char *realm = strrchr(s->account, '@');

	s->has = s->principal;
	if (s->keys > 0 || realm == NULL)
		return;
	s->has = s->account;
	s->keys++;
	s->kvno = s->account_kvno;
	snprintf(s->principal, NAME_MAX_LEN, "%.*s/%.100s%.100s",
	    (int)strcspn(s->services, ","), s->services, s->name, realm);
	memcpy(s->logon[0], s->account, sizeof(s->logon[0]));
}

static int
spn_cb(void *arg, const struct keytab_entry *e)
{
	struct spn *s = arg;
	const struct keytab_text *host = &e->component[1];

	add_logon(s, e);
	note_account(s, e);
	if (e->ncomponents != 2 || !keytab_serves(e, s->services) ||
	    host->n != strlen(s->name) || strncasecmp(host->p, s->name, host->n) != 0)
		return 0;
	s->keys++;
	if (s->principal[0] == '\0') {
		principal_of(e, s->principal);
		memcpy(s->logon[0], s->principal, sizeof(s->logon[0]));
	}
	if (e->kvno > s->kvno)
		s->kvno = e->kvno;
	return 0;
}

/* One KDC's configuration, and room for tickets, in a directory that end_kdc() removes. */
struct kdc {
	char dir[64], conf[96], cache[112];
};

static int
begin_kdc(struct kdc *k, const char *host, const char *realm)
{
	FILE *f = NULL;

	snprintf(k->dir, sizeof(k->dir), "/tmp/smbgatectl-XXXXXX");
	if (mkdtemp(k->dir) == NULL)
		return -1;
	snprintf(k->conf, sizeof(k->conf), "%s/krb5.conf", k->dir);
	snprintf(k->cache, sizeof(k->cache), "FILE:%s/cache", k->dir);
	if (host != NULL)
		f = fopen(k->conf, "we");
	if (f != NULL) {
		fprintf(f,
		    "[libdefaults]\ndefault_realm = %s\ndns_lookup_kdc = false\n"
		    "dns_canonicalize_hostname = false\n[realms]\n%s = {\n kdc = %s\n}\n",
		    realm, realm, host);
		fclose(f);
		setenv("KRB5_CONFIG", k->conf, 1);
	}
	setenv("KRB5CCNAME", k->cache, 1);
	return 0;
}

static void
end_kdc(const struct kdc *k)
{
	unlink(k->conf);
	unlink(k->cache + strlen("FILE:"));
	rmdir(k->dir);
	unsetenv("KRB5CCNAME");
}

/* The number of the key that the KDC has for the principal. 0: why says why it does not say. */
static uint32_t
kdc_kvno(const struct setup *s, const struct spn *spn, char why[PROGRAM_WHY])
{
	const char *kvno[] = { "kvno", spn->principal, NULL };
	const char *equals;
	uint32_t number;
	char own[PROGRAM_WHY] = "";
	char *out = NULL;

	for (unsigned i = 0; i < spn->nlogons && out == NULL; i++) {
		/* That it is there was seen before. */
		const char *kinit[] = { "kinit", "-k", "-t", s->conf->keytab, spn->logon[i], NULL };
		char *said = program_text(kinit, why);

		if (said != NULL)
			out = program_text(kvno, why);
		else if (i == 0)
			memcpy(own, why, sizeof(own));
		free(said);
	}
	/* Why its own key does not do tells more than why the last one of others does not. */
	if (own[0] != '\0')
		memcpy(why, own, sizeof(own));
	/* "cifs/nas@REALM: kvno = 3" */
	equals = out == NULL ? NULL : strstr(out, "kvno = ");
	if (out != NULL && equals == NULL)
		snprintf(why, PROGRAM_WHY, "kvno says \"%.100s\"", out);
	number = equals == NULL ? 0 : (uint32_t)strtoul(equals + 7, NULL, 10);
	free(out);
	return number;
}

/* As MIT and Heimdal say it of a key that is not the one that the KDC has. */
static bool
is_other_key(const char *why)
{
	return strstr(why, "assword incorrect") != NULL ||
	    strstr(why, "reauthentication failed") != NULL;
}

/* The same of a name that no account has. */
static bool
is_unknown(const char *why)
{
	return strcasestr(why, "server ") != NULL &&
	    strcasestr(why, "not found in kerberos database") != NULL;
}

static void
compare_kvno(const struct setup *s, const struct spn *spn)
{
	const char *realm = strrchr(spn->principal, '@');
	char why[PROGRAM_WHY] = "";
	uint32_t kvno = 0;
	struct kdc k;

	if (begin_kdc(&k, s->ask->kdc, realm == NULL ? "" : realm + 1) == 0) {
		kvno = kdc_kvno(s, spn, why);
		end_kdc(&k);
	}
	if (kvno == 0 && is_other_key(why))
		check_found(s->c, ID, CHECK_FAIL, spn->name,
		    "write the keytab again, with the key that the KDC has now",
		    "the keytab has %s, kvno %u, and the KDC another key: %s", spn->has,
		    spn->kvno, why);
	else if (kvno == 0 && is_unknown(why))
		check_found(s->c, ID, CHECK_FAIL, spn->name,
		    "make it an SPN of the cluster's account: setspn -S, or samba-tool spn add",
		    "no account has %s: clients get no ticket", spn->principal);
	else if (kvno == 0)
		check_found(s->c, ID, s->ask->kdc != NULL ? CHECK_FAIL : CHECK_WARN, spn->name,
		    "name a KDC that answers: --kdc; kinit and kvno must be installed",
		    "the keytab has %s, kvno %u; the KDC does not say its kvno: %s",
		    spn->has, spn->kvno, why);
	else if (kvno != spn->kvno)
		check_found(s->c, ID, CHECK_FAIL, spn->name,
		    "write the keytab again, with the key that the KDC has now",
		    "the keytab has %s with kvno %u, and the KDC %u", spn->has, spn->kvno,
		    kvno);
	else
		check_found(s->c, ID, CHECK_OK, spn->name, NULL,
		    "the keytab has %s, kvno %u, as the KDC", spn->has, kvno);
}

static void
check_name(const struct setup *s, const char *name, const uint8_t *p, size_t n)
{
	struct spn spn = { .name = name, .services = s->conf->keytab_services, .nlogons = 1 };
	char why[KEYTAB_WHY];
	size_t unknown;

	if (keytab_parse(p, n, spn_cb, &spn, &unknown, why) == -1) {
		check_found(s->c, ID, CHECK_FAIL, name, "write the keytab again", "%s", why);
		return;
	}
	take_account(&spn);
	if (spn.keys > 0)
		compare_kvno(s, &spn);
	else
		check_found(s->c, ID, CHECK_FAIL, name,
		    "register the name at the KDC, and put its key into the keytab",
		    "the keytab has no key of %.64s/%s that smbgate can use",
		    s->conf->keytab_services, name);
}

static void
check_usable(const struct setup *s, int fd)
{
	char why[KEYTAB_WHY];
	struct keytab_use u;

	if (keytab_use(fd, s->conf->keytab_services, &u, why) == -1)
		check_found(s->c, ID, CHECK_FAIL, "keytab", "write the keytab again", "%s", why);
	else
		check_found(s->c, ID, u.usable > 0 ? CHECK_OK : CHECK_FAIL, "keytab",
		    "put the keys of cifs/NAME into it",
		    "%zu keys that can be used, %zu of other services, %zu of other kinds; --name "
		    "has a name of the server compared with the KDC",
		    u.usable, u.others, u.unknown);
}

void
setup_keytab(const struct setup *s)
{
	char why[KEYFILE_WHY];
	uint8_t *p;
	size_t n;
	int fd;

	if (s->conf->keytab == NULL) {
		check_found(s->c, ID, CHECK_SKIP, "keytab", NULL,
		    "there is none: sessions that sign or encrypt are opaque");
		return;
	}
	fd = keyfile_open(s->conf->keytab, NULL, why);
	if (fd == -1) {
		check_found(s->c, ID, CHECK_FAIL, "keytab", "see keytab in smbgate.conf", "%s: %s",
		    s->conf->keytab, why);
		return;
	}
	if (s->ask->nnames == 0) {
		check_usable(s, fd);
	} else {
		p = keytab_read(fd, &n, why);
		for (size_t i = 0; i < s->ask->nnames; i++) {
			if (p != NULL)
				check_name(s, s->ask->names[i], p, n);
			else
				check_found(s->c, ID, CHECK_FAIL, "keytab", NULL, "%s", why);
		}
		if (p != NULL)
			explicit_bzero(p, n);
		free(p);
	}
	close(fd);
}
