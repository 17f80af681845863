/* dial.c: pure: what a connect that failed says, of the node or of this machine */
#include "config.h"

#include "nodes/dial.h"

#include <errno.h>
#include <limits.h>

#define LOG_EVERY_MS 60000

enum dial_fault
dial_fault(int err, bool at_once)
{
	switch (err) {
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return DIAL_PORTS;
	case EMFILE:
	case ENFILE:
		return DIAL_FILES;
	case ENOBUFS:
	case ENOMEM:
		return DIAL_MEMORY;
	case ENETDOWN:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
	case EINVAL:
		return DIAL_NETWORK;
	case ENETUNREACH:
	case EHOSTUNREACH:
		return at_once ? DIAL_NETWORK : DIAL_NODE;
	case EACCES:
	case EPERM:
		/*
		 * Later it is a router's or the node's word: ICMPv6 "administratively prohibited".
		 */
		return at_once ? DIAL_DENIED : DIAL_NODE;
	default:
		return DIAL_NODE;
	}
}

const char *
dial_cure(enum dial_fault f)
{
	switch (f) {
	case DIAL_PORTS:
		return "widen net.ipv4.ip_local_port_range, or give smbgate more addresses "
		       "(source = pool)";
	case DIAL_FILES:
		return "raise the limit of open files (LimitNOFILE in the unit, fs.file-max)";
	case DIAL_MEMORY:
		return "this machine is short of memory for sockets";
	case DIAL_NETWORK:
		return "no interface or route of this machine leads there";
	case DIAL_DENIED:
		return "a firewall or security module of this machine forbids it";
	case DIAL_NODE:
	case DIAL_FAULTS:
		break;
	}
	return "the node or the network between";
}

bool
dial_may_log(struct dial_log *l, enum dial_fault f, uint64_t now_ms, unsigned *left_out)
{
	if (now_ms < l->next_ms[f]) {
		if (l->left_out[f] < UINT_MAX)
			l->left_out[f]++;
		return false;
	}
	*left_out = l->left_out[f];
	l->left_out[f] = 0;
	l->next_ms[f] = now_ms + LOG_EVERY_MS;
	return true;
}
