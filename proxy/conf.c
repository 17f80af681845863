/* conf.c: smbgate.conf, read once at start */
#include "config.h"

#include "proxy/conf.h"

#include "policy/conffile.h"
#include "policy/errlist.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

static const struct setting settings[] = {
	{ "root", "policy", SETTING_TEXT, 0, 0, NULL },
	{ "root", "control", SETTING_TEXT, 0, 0, NULL },
	{ "root", "user", SETTING_TEXT, 0, 0, NULL },
	{ "root", "keytab", SETTING_TEXT, 0, 0, NULL },
	{ "root", "cluster-secret", SETTING_TEXT, 0, 0, NULL },
	{ "root", "pid-file", SETTING_TEXT, 0, 0, NULL },
	{ "root", "workers", SETTING_NUMBER, 0, CONF_WORKERS_MAX, NULL },
	{ "listen", "address", SETTING_ADDRPORT, 0, 0, NULL },
	{ NULL, NULL, SETTING_TEXT, 0, 0, NULL },
};

#define OPT(name) CFG_STR_CB(name, NULL, CFGF_NODEFAULT, conffile_check)

static char *
path_of(cfg_t *cfg, const char *file, const char *name, const char *dflt)
{
	const char *text = cfg_getstr(cfg, name);

	if (text == NULL)
		text = dflt;
	return text == NULL ? NULL : conffile_path(file, text);
}

static void
load_listen(struct conf *c, const char *path, cfg_t *sec, struct errlist *e)
{
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");
	struct conf_listen *l = &c->listen[c->nlisten];
	size_t n = strlen(name);

	if (!conffile_name(name)) {
		errlist_add(e, path, sec->line,
		    "listen \"%s\": a name has 1 to 63 of A-Z a-z 0-9 . _ -", name);
		return;
	}
	if (address == NULL) {
		errlist_add(e, path, sec->line, "listen \"%s\" has no address", name);
		return;
	}
	if (addrport_parse(&l->address, address, 445) == -1)
		return;
	for (size_t i = 0; i < c->nlisten; i++)
		if (addr_equal(&c->listen[i].address.addr, &l->address.addr) &&
		    c->listen[i].address.port == l->address.port)
			errlist_add(e, path, sec->line, "listen \"%s\" has the address of \"%s\"", name,
			    c->listen[i].name);
	memcpy(l->name, name, n + 1);
	c->nlisten++;
}

struct conf *
conf_load(const char *path, struct errlist *e)
{
	cfg_opt_t listen[] = { OPT("address"), CFG_END() };
	cfg_opt_t opts[] = {
		OPT("policy"), OPT("control"), OPT("user"), OPT("keytab"), OPT("cluster-secret"),
		OPT("pid-file"), OPT("workers"),
		CFG_SEC("listen", listen, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	size_t first = e->n;
	cfg_t *cfg = conffile_parse(path, opts, settings, e);
	struct conf *c = cfg == NULL ? NULL : calloc(1, sizeof(*c));
	unsigned n;

	if (c == NULL) {
		if (cfg != NULL)
			cfg_free(cfg);
		return NULL;
	}
	c->path = conffile_absolute(path);
	if (c->path == NULL) {
		errlist_add(e, path, 0, "out of memory");
		cfg_free(cfg);
		conf_free(&c);
		return NULL;
	}
	c->policy = path_of(cfg, c->path, "policy", "policy.conf");
	c->control = path_of(cfg, c->path, "control", "/run/smbgate/control.sock");
	c->keytab = path_of(cfg, c->path, "keytab", NULL);
	c->cluster_secret = path_of(cfg, c->path, "cluster-secret", NULL);
	c->pid_file = path_of(cfg, c->path, "pid-file", NULL);
	c->user = cfg_getstr(cfg, "user") == NULL ? NULL : strdup(cfg_getstr(cfg, "user"));
	c->workers = (unsigned)conffile_uint(cfg, "workers", settings, 0);
	n = cfg_size(cfg, "listen");
	if (n == 0)
		errlist_add(e, path, cfg->line, "there is nothing to listen on: listen \"NAME\" { address = ... }");
	if (n > CONF_LISTEN_MAX)
		errlist_add(e, path, cfg->line, "%u listeners, more than %d", n, CONF_LISTEN_MAX);
	for (unsigned i = 0; i < n && n <= CONF_LISTEN_MAX; i++)
		load_listen(c, path, cfg_getnsec(cfg, "listen", i), e);
	cfg_free(cfg);
	errlist_sort(e, first);
	return c;
}

void
conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	if (c == NULL)
		return;
	free(c->path);
	free(c->policy);
	free(c->control);
	free(c->user);
	free(c->keytab);
	free(c->cluster_secret);
	free(c->pid_file);
	free(c);
	*cp = NULL;
}
