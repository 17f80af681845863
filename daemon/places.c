/* places.c: how many clients there are descriptors for, beside those that smbgate needs itself */
#include "config.h"

#include "daemon/places.h"

#include "base/log.h"
#include "policy/policy.h"
#include "proxy/splice.h"

#include <inttypes.h>
#include <sys/resource.h>

/*
 * In reserve: for the process, 16 peers on the control socket, the log, Redis, the guard and the
 * files of a reload among them; a probe of every node that a policy can have, or of the first 64
 * where descriptors are few; and for a worker its pipes, loop, mailbox, links and socket to
 * smbgate-keyd, besides its listeners, each with one to give up.
 */
#define OF_PROCESS 64
#define PROBES_MIN 64
#define PROBES_SHARE 16
/* 32 peers, the socket that they come to, and what daemon/process.h has open. */
#define OF_HTTP 36
#define OF_WORKER (2 * SPLICE_PIPES_MAX + 16)
/* A client has two. */
#define OF_CLIENT 2
/* Where there is next to nothing, clients get this share of it all the same. */
#define CLIENTS_SHARE 4
/* More than any machine has ports or memory for. */
#define PLACES_MAX 10000000

static uint64_t
probes_count(uint64_t descriptors)
{
	const uint64_t n = descriptors / PROBES_SHARE;

	return n < PROBES_MIN ? PROBES_MIN : n < POL_NODES_MAX ? n : POL_NODES_MAX;
}

unsigned
places_count(uint64_t descriptors, unsigned workers, unsigned listeners, bool http)
{
	uint64_t own = OF_PROCESS + (http ? OF_HTTP : 0) + probes_count(descriptors) +
	    (uint64_t)workers * (OF_WORKER + 2 * listeners);
	uint64_t rest = descriptors > own ? descriptors - own : 0;
	uint64_t n;

	if (rest < descriptors / CLIENTS_SHARE)
		rest = descriptors / CLIENTS_SHARE;
	n = rest / OF_CLIENT;
	return n < PLACES_MAX ? (unsigned)n : PLACES_MAX;
}

unsigned
places_raise(unsigned workers, unsigned listeners, bool http)
{
	struct rlimit rl;
	unsigned n;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return PLACES_MAX;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1 && getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return PLACES_MAX;
	n = places_count(rl.rlim_cur, workers, listeners, http);
	log_info("there are descriptors for %u clients", n);
	return n;
}
