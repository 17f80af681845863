/* conf.c: smbgate.conf, read once at start */
#include "config.h"

#include "policy/conf.h"

#include "base/cpus.h"
#include "base/keyfile.h"
#include "base/ownaddr.h"
#include "policy/addrwords.h"
#include "policy/conffile.h"
#include "policy/errlist.h"
#include "policy/setting.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static const struct setting settings[] = {
#define SETTING SETTING_ROW
#define LIST SETTING_LIST
#define OTHER SETTING_OTHER
#include "policy/conf.tbl.h"
#undef SETTING
#undef LIST
#undef OTHER
	SETTING_END
};

/* One load: the file, what becomes of it, and its errors. */
struct load {
	struct conffile f;
	const char *path;
	struct conf *c;
	struct errlist e;
};

static void
out_of_memory(struct load *l)
{
	errlist_add(&l->e, l->path, 0, "out of memory");
}

/* The values of a section, defaults included, into the structure that it describes. */
static void
load_fields(struct load *l, cfg_t *sec, void *base)
{
	if (conffile_fill(&l->f, sec, l->c->path, base) == -1)
		out_of_memory(l);
}

/* Where it is set; 0: nowhere. */
static int
root_line(const struct load *l, const char *name)
{
	return cfg_size(l->f.cfg, name) == 0 ? 0 : conffile_line(&l->f, l->f.cfg, name, 0);
}

static void
load_root(struct load *l)
{
	struct conf *c = l->c;
	struct sockaddr_un sun;

	load_fields(l, l->f.cfg, c);
	c->policy_line = root_line(l, "policy");
	c->control_line = root_line(l, "control");
	c->group_line = root_line(l, "control-group");
	c->user_line = root_line(l, "user");
	c->keytab_line = root_line(l, "keytab");
	c->keyd_user_line = root_line(l, "keyd-user");
	c->secret_line = root_line(l, "cluster-secret");
	c->pid_line = root_line(l, "pid-file");
	if (c->control != NULL && strlen(c->control) >= sizeof(sun.sun_path))
		errlist_add(&l->e, l->path, conffile_line(&l->f, l->f.cfg, "control", 0),
		    "control: %s is too long: the path of a socket has at most %zu bytes",
		    c->control, sizeof(sun.sun_path) - 1);
}

/* "cifs", the first component of a principal; a comma separates them. */
static bool
is_service(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < CONF_SERVICE_LEN - 1 &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static void
load_services(struct load *l)
{
	char *list = l->c->keytab_services;
	unsigned n = cfg_size(l->f.cfg, "keytab-services");
	size_t used = 0;

	if (n == 0)
		sprintf(list, "cifs");
	for (unsigned i = 0; i < n && i <= CONF_SERVICES_MAX; i++) {
		const char *name = cfg_getnstr(l->f.cfg, "keytab-services", i);
		int line = conffile_line(&l->f, l->f.cfg, "keytab-services", i);

		if (i == CONF_SERVICES_MAX)
			errlist_add(&l->e, l->path, line, "keytab-services has more than %d names",
			    CONF_SERVICES_MAX);
		else if (!is_service(name))
			errlist_add(&l->e, l->path, line, "keytab-services: \"%s\" is no service: "
			    "a name has 1 to %d letters, digits, '.', '_' or '-', and nothing of "
			    "the host", name, CONF_SERVICE_LEN - 2);
		else
			used += (size_t)sprintf(list + used, "%s%s", used == 0 ? "" : ",", name);
	}
}

/* The option exists so that those who try it get a better answer than "no such option". */
static void
check_winbind(struct load *l)
{
	if (conffile_value(l->f.cfg, setting_find(settings, "root", "auth-winbind")) != 0)
		errlist_add(&l->e, l->path, conffile_line(&l->f, l->f.cfg, "auth-winbind", 0),
		    "auth-winbind: asking winbind for keys is not supported");
}

static void
load_proxies(struct load *l, cfg_t *sec, struct conf_listen *n)
{
	for (unsigned i = 0; i < cfg_size(sec, "proxy-protocol"); i++) {
		struct prefix p;

		if (prefix_parse(&p, cfg_getnstr(sec, "proxy-protocol", i)) == 0 &&
		    acl_add(&n->proxies, &p, false) == -1) {
			if (n->proxies.n < ACL_RULES_MAX)
				out_of_memory(l);
			else
				errlist_add(&l->e, l->path,
				    conffile_line(&l->f, sec, "proxy-protocol", i),
				    "listen \"%s\": proxy-protocol has more than %d prefixes",
				    cfg_title(sec), ACL_RULES_MAX);
			return;
		}
	}
}

bool
conf_is_proxy(const struct conf_listen *l, const struct addr *peer)
{
	/* An acl without rules allows everybody. */
	return l->proxies.n > 0 && acl_allows(&l->proxies, peer);
}

int
conf_listener_at(const struct conf *c, const struct addrport *a, const struct ownaddr *own)
{
	for (size_t i = 0; i < c->nlisten; i++) {
		const struct addrport *l = &c->listen[i].address;

		if (l->port != a->port)
			continue;
		if (addr_equal(&l->addr, &a->addr))
			return (int)i;
		/* "::" takes IPv4 as well, "0.0.0.0" has no IPv6. */
		if (addr_is_unspecified(&l->addr) && ownaddr_has(own, &a->addr) &&
		    (addr_is_v4(&a->addr) || !addr_is_v4(&l->addr)))
			return (int)i;
	}
	return -1;
}

bool
conf_intercepts(const struct conf *c)
{
	for (size_t i = 0; i < c->nlisten; i++)
		if (c->listen[i].intercept)
			return true;
	return false;
}

/* Would the one have the connections of the other? "::" leaves IPv4 to others that want it. */
static bool
overlap(const struct addrport *a, const struct addrport *b)
{
	return a->port == b->port && addr_is_v4(&a->addr) == addr_is_v4(&b->addr) &&
	    (addr_equal(&a->addr, &b->addr) || addr_is_unspecified(&a->addr) ||
	        addr_is_unspecified(&b->addr));
}

static void
load_listen_cluster(struct load *l, cfg_t *sec, struct conf_listen *n)
{
	const char *name = cfg_getstr(sec, "cluster");

	if (name == NULL)
		return;
	if (n->intercept)
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "cluster", 0),
		    "listen \"%s\": cluster has no meaning with intercept: clients dial a node",
		    cfg_title(sec));
	snprintf(n->cluster, sizeof(n->cluster), "%s", name);
}

static void
load_listen(struct load *l, cfg_t *sec)
{
	struct conf *c = l->c;
	struct conf_listen *n = &c->listen[c->nlisten];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");

	if (!setting_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "listen \"%s\": " SETTING_NAME_RULE, name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "listen \"%s\" has no address",
		    name);
	load_fields(l, sec, n);
	load_proxies(l, sec, n);
	load_listen_cluster(l, sec, n);
	if (address == NULL || addrport_parse(&n->address, address,
	        n->netbios == CONF_NETBIOS_TRUE ? 139 : 445) == -1)
		return;
	for (size_t i = 0; i < c->nlisten; i++)
		if (overlap(&c->listen[i].address, &n->address))
			errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "address", 0),
			    "listen \"%s\" has the same address as listen \"%s\"%s", name,
			    c->listen[i].name,
			    addr_equal(&c->listen[i].address.addr, &n->address.addr)
			        ? "" : ": one of them has all addresses");
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->line = conffile_line(&l->f, sec, "address", 0);
	n->lacks_brackets = addrwords_lacks_brackets(address);
	n->index = (unsigned)c->nlisten++;
}

/* Not a listener for clients: what is seen there is for those who run smbgate. */
static void
load_http(struct load *l)
{
	const char *text = cfg_getstr(l->f.cfg, "http");
	struct conf *c = l->c;

	if (text == NULL || addrport_parse(&c->http_address, text, CONF_HTTP_PORT) == -1)
		return;
	c->http = true;
	c->http_line = conffile_line(&l->f, l->f.cfg, "http", 0);
	for (size_t i = 0; i < c->nlisten; i++)
		if (overlap(&c->listen[i].address, &c->http_address))
			errlist_add(&l->e, l->path, c->http_line,
			    "http has the same address as listen \"%s\"", c->listen[i].name);
}

static void
load_listeners(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "listen");

	if (conffile_lacks(&l->f, l->f.cfg, "listen"))
		errlist_add(&l->e, l->path, l->f.cfg->line,
		    "no listener: there must be at least one listen \"NAME\" { address = ... }");
	if (n > CONF_LISTEN_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "listen", CONF_LISTEN_MAX)),
		    "too many listeners: %u, at most %d are allowed", n, CONF_LISTEN_MAX);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_listen(l, cfg_getnsec(l->f.cfg, "listen", i));
}

static void
load_server(struct load *l, cfg_t *sec, unsigned i)
{
	struct conf_redis *r = &l->c->redis;
	struct conf_server *s = &r->servers[r->nservers];
	const char *text = cfg_getnstr(sec, "servers", i);
	int line = conffile_line(&l->f, sec, "servers", i);
	char why[256];

	if (i >= CONF_SERVERS_MAX) {
		if (i == CONF_SERVERS_MAX)
			errlist_add(&l->e, l->path, line,
			    "state \"redis\": servers has more than %d entries", CONF_SERVERS_MAX);
		return;
	}
	if (text[0] == '/') {
		if (strlen(text) >= sizeof(s->path)) {
			errlist_add(&l->e, l->path, line,
			    "servers: %s is too long: the path of a socket has at most %zu bytes",
			    text, sizeof(s->path) - 1);
			return;
		}
		snprintf(s->path, sizeof(s->path), "%s", text);
	} else if (addrport_parse(&s->address, text, cfg_getstr(sec, "sentinel") ? 26379 : 6379) ==
	    -1) {
		const char *words = addrwords(ADDRWORDS_ADDRPORT, text, why, sizeof(why));

		errlist_add(&l->e, l->path, line,
		    "servers: \"%s\" is neither ADDRESS:PORT nor the absolute path of a socket%s%s",
		    text, words == NULL ? "" : ": ", words == NULL ? "" : words);
		return;
	}
	r->nservers++;
}

static void
load_tls(struct load *l, cfg_t *sec)
{
	const struct conf *c = l->c;
	int line = conffile_line(&l->f, sec, "tls", 0);

	l->c->tls_line = line;
	if (!c->redis.tls) {
		if (c->tls_ca != NULL || c->tls_cert != NULL || c->tls_key != NULL ||
		    c->redis.tls_name != NULL)
			errlist_add(&l->e, l->path, conffile_begin(sec),
			    "state \"redis\": the tls- options have no meaning without tls = true");
		return;
	}
	if (c->tls_ca == NULL)
		errlist_add(&l->e, l->path, line,
		    "state \"redis\": tls needs a tls-ca-file, which says whom to believe");
	if ((c->tls_cert == NULL) != (c->tls_key == NULL))
		errlist_add(&l->e, l->path, line,
		    "state \"redis\": tls-cert-file and tls-key-file go together");
}

static void
load_state(struct load *l)
{
	cfg_t *sec = cfg_size(l->f.cfg, "state") == 0 ? NULL : cfg_getnsec(l->f.cfg, "state", 0);
	struct conf_redis *r = &l->c->redis;

	setting_defaults(settings, "state", l->c);
	if (sec == NULL)
		return;
	if (cfg_size(l->f.cfg, "state") > 1)
		errlist_add(&l->e, l->path, conffile_begin(cfg_getnsec(l->f.cfg, "state", 1)),
		    "more than one state section");
	if (strcmp(cfg_title(sec), "redis") != 0) {
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "state \"%s\": the only kind is \"redis\"; without the section the map is in "
		    "memory",
		    cfg_title(sec));
		return;
	}
	if (conffile_lacks(&l->f, sec, "servers") || cfg_size(sec, "servers") == 0)
		errlist_add(&l->e, l->path, conffile_begin(sec), "state \"redis\" has no servers");
	for (unsigned i = 0; i < cfg_size(sec, "servers"); i++)
		load_server(l, sec, i);
	load_fields(l, sec, l->c);
	l->c->password_line = conffile_line(&l->f, sec, "password-file", 0);
	l->c->sentinel_line = conffile_line(&l->f, sec, "sentinel-password-file", 0);
	load_tls(l, sec);
	if (r->user != NULL && l->c->redis_password == NULL)
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "user", 0),
		    "state \"redis\": a user needs a password-file");
	if (r->sentinel_user != NULL && l->c->sentinel_password == NULL)
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "sentinel-user", 0),
		    "state \"redis\": a sentinel-user needs a sentinel-password-file");
	if (r->sentinel == NULL && l->c->sentinel_password != NULL)
		errlist_add(&l->e, l->path, l->c->sentinel_line,
		    "state \"redis\": sentinel-password-file has no meaning without sentinel");
}

/* The options of the whole file, as libconfuse wants them. */
struct conf_options {
	struct conffile_section listen, state, root;
};

static void
conf_grammar(struct conf_options *g)
{
	const cfg_flag_t several = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	const cfg_opt_t in_root[] = {
		CFG_SEC("listen", g->listen.opts, several),
		CFG_SEC("state", g->state.opts, several),
		CFG_END(),
	};

	conffile_section(&g->listen, settings, "listen", NULL);
	conffile_section(&g->state, settings, "state", NULL);
	conffile_section(&g->root, settings, "root", in_root);
}

struct conf *
conf_load(const char *path, struct errlist *e)
{
	struct load l = { .path = path };
	struct conf_options g;

	conf_grammar(&g);
	if (conffile_parse(&l.f, path, NULL, g.root.opts, settings, &l.e) == 0) {
		l.c = calloc(1, sizeof(*l.c));
		if (l.c != NULL)
			l.c->path = conffile_absolute(path);
		if (l.c == NULL || l.c->path == NULL) {
			errlist_add(&l.e, path, 0, "%s", strerror(errno));
			conf_free(&l.c);
		} else {
			load_root(&l);
			load_services(&l);
			check_winbind(&l);
			load_listeners(&l);
			load_http(&l);
			load_state(&l);
		}
	}
	conffile_fini(&l.f);
	if (l.c != NULL && l.c->policy == NULL)
		conf_free(&l.c);
	errlist_sort(&l.e, 0);
	errlist_take(e, &l.e);
	return l.c;
}

unsigned
conf_workers(const struct conf *c)
{
	unsigned cpus = cpus_allowed();

	if (c->workers != 0)
		return c->workers;
	return cpus > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : cpus;
}

int
conf_password(const char *file, char **password, const struct keyfile_user *also, char *why)
{
	char text[512];

	if (file == NULL)
		return 0;
	if (keyfile_line(file, also, text, sizeof(text), why) == -1)
		return -1;
	*password = strdup(text);
	if (*password == NULL)
		snprintf(why, KEYFILE_WHY, "out of memory");
	explicit_bzero(text, sizeof(text));
	return *password == NULL ? -1 : 0;
}

static void
password_free(char *password)
{
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	free(password);
}

void
conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < CONF_LISTEN_MAX; i++)
		acl_fini(&c->listen[i].proxies);
	free(c->path);
	for (const struct setting *o = settings; o->section != NULL; o++)
		if (o->size > 0 && setting_is_text(o))
			free(*setting_text(o, c));
	password_free(c->redis.password);
	password_free(c->redis.sentinel_password);
	free(c);
	*cp = NULL;
}
