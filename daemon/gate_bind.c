/* gate_bind.c: what smbgate makes while it is privileged: its sockets, listening */
#include "config.h"

#include "daemon/gate.h"

#include "base/addr.h"
#include "base/log.h"
#include "daemon/ctl.h"
#include "policy/conf.h"
#include "proxy/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "::" means IPv4 too, as everywhere on Linux, unless another listener has that port on IPv4. */
static bool
takes_both(const struct conf *conf, const struct conf_listen *l)
{
	if (addr_is_v4(&l->address.addr) || !addr_is_unspecified(&l->address.addr))
		return false;
	for (size_t i = 0; i < conf->nlisten; i++)
		if (addr_is_v4(&conf->listen[i].address.addr) &&
		    conf->listen[i].address.port == l->address.port)
			return false;
	return true;
}

int
gate_bind(struct gate_sockets *s, const struct conf *conf)
{
	char text[ADDR_STRLEN];
	int column[CONF_WORKERS_MAX];

	s->nworkers = conf_workers(conf);
	s->fds = calloc(s->nworkers * conf->nlisten, sizeof(int));
	if (s->fds == NULL) {
		log_error("out of memory");
		return -1;
	}
	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];

		if (listen_bind(l, takes_both(conf, l), column, s->nworkers) == -1) {
			log_error("listen \"%s\": cannot bind %s: %s%s", l->name,
			    addrport_str(&l->address, text), strerror(errno),
			    l->intercept && errno == EPERM ? ": intercept needs CAP_NET_RAW" : "");
			return -1;
		}
		for (unsigned w = 0; w < s->nworkers; w++)
			s->fds[w * conf->nlisten + i] = column[w];
	}
	s->control = ctl_bind(conf->control);
	return s->control == -1 ? -1 : 0;
}
