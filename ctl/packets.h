/* packets.h: the bytes of both legs of connections, as packets of TCP */
#ifndef CTL_PACKETS_H
#define CTL_PACKETS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/tapmsg.h"

struct packets;

/*
 * Writes to out, borrowed, in the format of ctl/pcapng.h: two interfaces, "client" and "node", and
 * on each packets with the leg's own addresses and ports. What smbgate has had and given is bytes;
 * their packets, Ethernet, IP and TCP, are made here, so that acknowledgements and sizes are not
 * those of the wire. NULL: memory is out.
 */
struct packets *packets_new(FILE *out, const char *program);
void packets_free(struct packets **p);

/* A record of base/tapmsg.h, m->len bytes of data with it. */
void packets_add(struct packets *p, const struct tapmsg *m, const uint8_t *data);

uint64_t packets_bytes(const struct packets *p);
uint64_t packets_count(const struct packets *p);
/* A port of a node that is not one of SMB's, by which no decoder knows what it is; 0: none. */
uint16_t packets_odd_port(const struct packets *p);

#endif
