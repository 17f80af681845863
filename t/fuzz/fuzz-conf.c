/* fuzz-conf.c: libFuzzer target: smbgate.conf: it has errors, or listeners of their own each */
/* for: policy/conf.c policy/setting.c policy/addrwords.c */
#include "config.h"

#include "base/keyfile.h"
#include "base/ownaddr.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "t/fuzz/onfile.h"
#include "t/unit/lib/holds.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whoever dials the very address of a listener, or any with its port, is at one of that port. */
static void
fuzz_listeners(const struct conf *c)
{
	static struct ownaddr own;

	for (size_t i = 0; i < c->nlisten; i++) {
		const struct conf_listen *l = &c->listen[i];
		struct addrport a = l->address;

		HOLDS(l->index == i && l->line > 0 && a.port != 0);
		HOLDS(conf_listener_at(c, &a, &own) == (int)i);
		HOLDS(!conf_is_proxy(l, &a.addr) || l->proxies.n > 0);
		a.addr.b[15] ^= 1;
		HOLDS(conf_listener_at(c, &a, &own) == -1 ||
		    c->listen[conf_listener_at(c, &a, &own)].address.port == a.port);
	}
}

/* What the files of passwords say is not the input's: there is none. */
static void
fuzz_files(const struct conf *c)
{
	char why[KEYFILE_WHY], *password = NULL;

	HOLDS(conf_password(NULL, &password, NULL, why) == 0 && password == NULL);
	HOLDS(conf_password("/nowhere/password", &password, NULL, why) == -1 && why[0] != '\0');
	HOLDS(c->policy[0] == '/' && c->control[0] == '/');
	HOLDS(c->redis_password == NULL || c->redis_password[0] == '/');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct onfile f = { .fd = -1 };
	struct errlist e = { .n = 0 };
	struct conf *c;

	if (f.fd == -1)
		f = onfile_new();
	onfile_put(&f, data, size);
	c = conf_load(f.path, &e);
	HOLDS(c != NULL || e.total > 0);
	for (size_t i = 0; i < e.n; i++)
		HOLDS(strchr(e.text[i], '\n') == NULL);
	if (c != NULL && e.total == 0) {
		HOLDS(c->nlisten > 0 && c->nlisten <= CONF_LISTEN_MAX);
		HOLDS(c->redis.nservers <= CONF_SERVERS_MAX && conf_workers(c) > 0);
		fuzz_listeners(c);
		fuzz_files(c);
	}
	errlist_fini(&e);
	conf_free(&c);
	return 0;
}
