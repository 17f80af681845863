/* anonymous.h: what a server tells of its interfaces to somebody without a name */
#ifndef CTL_ANONYMOUS_H
#define CTL_ANONYMOUS_H

#include <stddef.h>

#include "base/addr.h"

#define ANONYMOUS_WHY 128
#define ANONYMOUS_ADDRS_MAX 64

struct anonymous_list {
	struct addr addr[ANONYMOUS_ADDRS_MAX];
	size_t n;
};

/* Those of its FSCTL_QUERY_NETWORK_INTERFACE_INFO. -1: why says why there is no list. */
int anonymous_interfaces(struct anonymous_list *l, const struct addrport *server,
    char why[ANONYMOUS_WHY]) __attribute__((warn_unused_result));

#endif
