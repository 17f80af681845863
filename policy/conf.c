/* conf.c: smbgate.conf, read once at start */
#include "config.h"

#include "policy/conf.h"

#include "base/cpus.h"
#include "policy/conffile.h"
#include "policy/errlist.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* How long a new connection may wait for Redis, in ms. */
#define STATE_TIMEOUT 50
#define STATE_TIMEOUT_MIN 5
#define STATE_TIMEOUT_MAX 5000

static const struct setting settings[] = {
	{ "root", "policy", SETTING_TEXT, 0, 0, NULL },
	{ "root", "control", SETTING_TEXT, 0, 0, NULL },
	{ "root", "user", SETTING_TEXT, 0, 0, NULL },
	{ "root", "keytab", SETTING_TEXT, 0, 0, NULL },
	{ "root", "keyd-user", SETTING_TEXT, 0, 0, NULL },
	{ "root", "auth-winbind", SETTING_BOOL, 0, 0, NULL },
	{ "root", "cluster-secret", SETTING_TEXT, 0, 0, NULL },
	{ "root", "pid-file", SETTING_TEXT, 0, 0, NULL },
	{ "root", "workers", SETTING_NUMBER, 0, CONF_WORKERS_MAX, NULL },
	{ "state", "servers", SETTING_TEXT, 0, 0, NULL },
	{ "state", "sentinel", SETTING_TEXT, 0, 0, NULL },
	{ "state", "user", SETTING_TEXT, 0, 0, NULL },
	{ "state", "password-file", SETTING_TEXT, 0, 0, NULL },
	{ "state", "timeout", SETTING_DURATION, STATE_TIMEOUT_MIN, STATE_TIMEOUT_MAX, NULL },
	{ "listen", "address", SETTING_ADDRPORT, 0, 0, NULL },
	{ "listen", "netbios", SETTING_BOOL, 0, 0, NULL },
	{ "listen", "intercept", SETTING_BOOL, 0, 0, NULL },
	{ "listen", "proxy-protocol", SETTING_PREFIX, 0, 0, NULL },
	{ NULL, NULL, SETTING_TEXT, 0, 0, NULL },
};

#define OPT(name) CFG_STR_CB(name, NULL, CFGF_NODEFAULT, conffile_check)
#define OPT_LIST(name) CFG_STR_LIST_CB(name, NULL, CFGF_NODEFAULT, conffile_check)

/* One load: the file, what becomes of it, and its errors. */
struct load {
	struct conffile f;
	const char *path;
	struct conf *c;
	struct errlist e;
};

static char *
path_of(struct load *l, const char *name, const char *dflt)
{
	const char *text = cfg_getstr(l->f.cfg, name);
	char *path;

	if (text == NULL)
		text = dflt;
	if (text == NULL)
		return NULL;
	path = conffile_path(l->c->path, text);
	if (path == NULL)
		errlist_add(&l->e, l->path, 0, "out of memory");
	return path;
}

/* A copy, or NULL: there is none. Out of memory is an error: without a user smbgate stays root. */
static char *
text_of(struct load *l, cfg_t *sec, const char *name)
{
	const char *text = cfg_getstr(sec, name);
	char *copy = text == NULL ? NULL : strdup(text);

	if (text != NULL && copy == NULL)
		errlist_add(&l->e, l->path, 0, "out of memory");
	return copy;
}

static void
load_paths(struct load *l)
{
	struct conf *c = l->c;
	struct sockaddr_un sun;

	c->policy = path_of(l, "policy", "policy.conf");
	c->control = path_of(l, "control", "/run/smbgate/control.sock");
	c->keytab = path_of(l, "keytab", NULL);
	c->cluster_secret = path_of(l, "cluster-secret", NULL);
	c->pid_file = path_of(l, "pid-file", NULL);
	c->user = text_of(l, l->f.cfg, "user");
	c->keyd_user = text_of(l, l->f.cfg, "keyd-user");
	if (c->control != NULL && strlen(c->control) >= sizeof(sun.sun_path))
		errlist_add(&l->e, l->path, conffile_line(&l->f, l->f.cfg, "control", 0),
		    "control: %s is longer than the %zu bytes of a socket's path", c->control,
		    sizeof(sun.sun_path) - 1);
}

/* Known, so that whoever asks for it is told, and not that there is no such option. */
static void
check_winbind(struct load *l)
{
	if (conffile_uint(&l->f, l->f.cfg, "auth-winbind", 0) != 0)
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
			errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "proxy-protocol", i),
			    "listen \"%s\": more than %d proxies", cfg_title(sec), ACL_RULES_MAX);
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

static void
load_listen(struct load *l, cfg_t *sec)
{
	struct conf *c = l->c;
	struct conf_listen *n = &c->listen[c->nlisten];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");

	if (!conffile_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "listen \"%s\": a name has 1 to 63 of A-Z a-z 0-9 . _ -", name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "listen \"%s\" has no address", name);
	n->netbios = conffile_uint(&l->f, sec, "netbios", 0) != 0;
	n->intercept = conffile_uint(&l->f, sec, "intercept", 0) != 0;
	load_proxies(l, sec, n);
	if (address == NULL || addrport_parse(&n->address, address, n->netbios ? 139 : 445) == -1)
		return;
	for (size_t i = 0; i < c->nlisten; i++)
		if (addr_equal(&c->listen[i].address.addr, &n->address.addr) &&
		    c->listen[i].address.port == n->address.port)
			errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "address", 0),
			    "listen \"%s\" has the address of listen \"%s\"", name, c->listen[i].name);
	snprintf(n->name, sizeof(n->name), "%s", name);
	c->nlisten++;
}

static void
load_listeners(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "listen");

	if (conffile_lacks(&l->f, l->f.cfg, "listen"))
		errlist_add(&l->e, l->path, l->f.cfg->line,
		    "there is nothing to listen on: listen \"NAME\" { address = ... }");
	if (n > CONF_LISTEN_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "listen", CONF_LISTEN_MAX)),
		    "%u listeners: there may be %d", n, CONF_LISTEN_MAX);
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

	if (i >= CONF_SERVERS_MAX) {
		if (i == CONF_SERVERS_MAX)
			errlist_add(&l->e, l->path, line, "state \"redis\": more than %d servers",
			    CONF_SERVERS_MAX);
		return;
	}
	if (text[0] == '/') {
		if (strlen(text) >= sizeof(s->path)) {
			errlist_add(&l->e, l->path, line,
			    "servers: %s is longer than the %zu bytes of a socket's path", text,
			    sizeof(s->path) - 1);
			return;
		}
		snprintf(s->path, sizeof(s->path), "%s", text);
	} else if (addrport_parse(&s->address, text, cfg_getstr(sec, "sentinel") ? 26379 : 6379) == -1) {
		errlist_add(&l->e, l->path, line,
		    "servers: \"%s\" is neither an address with a port nor the path of a socket", text);
		return;
	}
	r->nservers++;
}

static void
load_state(struct load *l)
{
	cfg_t *sec = cfg_size(l->f.cfg, "state") == 0 ? NULL : cfg_getnsec(l->f.cfg, "state", 0);
	struct conf_redis *r = &l->c->redis;
	const char *text;

	r->timeout_ms = STATE_TIMEOUT;
	if (sec == NULL)
		return;
	if (cfg_size(l->f.cfg, "state") > 1)
		errlist_add(&l->e, l->path, conffile_begin(cfg_getnsec(l->f.cfg, "state", 1)),
		    "there is one map: one state section");
	if (strcmp(cfg_title(sec), "redis") != 0) {
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "state \"%s\": only \"redis\" is known; without a state section the map is in memory",
		    cfg_title(sec));
		return;
	}
	if (conffile_lacks(&l->f, sec, "servers") || cfg_size(sec, "servers") == 0)
		errlist_add(&l->e, l->path, conffile_begin(sec), "state \"redis\" has no servers");
	for (unsigned i = 0; i < cfg_size(sec, "servers"); i++)
		load_server(l, sec, i);
	r->sentinel = text_of(l, sec, "sentinel");
	r->user = text_of(l, sec, "user");
	text = cfg_getstr(sec, "password-file");
	l->c->redis_password = text == NULL ? NULL : conffile_path(l->c->path, text);
	if (r->user != NULL && text == NULL)
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "user", 0),
		    "state \"redis\": a user has a password-file");
	r->timeout_ms = (unsigned)conffile_uint(&l->f, sec, "timeout", STATE_TIMEOUT);
}

struct conf *
conf_load(const char *path, struct errlist *e)
{
	cfg_opt_t none[] = { CFG_END() };
	cfg_opt_t listen[] = { CONFFILE_BEGIN_OPT(none), OPT("address"), OPT("netbios"),
		OPT("intercept"), OPT_LIST("proxy-protocol"), CFG_END() };
	cfg_opt_t state[] = { CONFFILE_BEGIN_OPT(none), OPT_LIST("servers"), OPT("sentinel"),
		OPT("user"), OPT("password-file"), OPT("timeout"), CFG_END() };
	cfg_opt_t opts[] = {
		OPT("policy"), OPT("control"), OPT("user"), OPT("keytab"), OPT("keyd-user"),
		OPT("auth-winbind"), OPT("cluster-secret"), OPT("pid-file"), OPT("workers"),
		CFG_SEC("listen", listen, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("state", state, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	struct load l = { .path = path };

	if (conffile_parse(&l.f, path, opts, settings, &l.e) == 0) {
		l.c = calloc(1, sizeof(*l.c));
		if (l.c != NULL)
			l.c->path = conffile_absolute(path);
		if (l.c == NULL || l.c->path == NULL) {
			errlist_add(&l.e, path, 0, "out of memory");
			conf_free(&l.c);
		} else {
			load_paths(&l);
			check_winbind(&l);
			load_listeners(&l);
			load_state(&l);
			l.c->workers = (unsigned)conffile_uint(&l.f, l.f.cfg, "workers", 0);
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
conf_password(struct conf *c, const char **why_r)
{
	char text[512];
	FILE *f;

	if (c->redis_password == NULL)
		return 0;
	f = fopen(c->redis_password, "re");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL) {
		*why_r = f == NULL || ferror(f) ? strerror(errno) : "it is empty";
		if (f != NULL)
			fclose(f);
		return -1;
	}
	fclose(f);
	text[strcspn(text, "\r\n")] = '\0';
	c->redis.password = text[0] == '\0' ? NULL : strdup(text);
	explicit_bzero(text, sizeof(text));
	*why_r = "it is empty";
	return c->redis.password == NULL ? -1 : 0;
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
	free(c->policy);
	free(c->control);
	free(c->user);
	free(c->keytab);
	free(c->keyd_user);
	free(c->cluster_secret);
	free(c->pid_file);
	free(c->redis_password);
	free(c->redis.sentinel);
	free(c->redis.user);
	if (c->redis.password != NULL)
		explicit_bzero(c->redis.password, strlen(c->redis.password));
	free(c->redis.password);
	free(c);
	*cp = NULL;
}
