/* pcapng.h: a file of packets, as Wireshark and tshark read it */
#ifndef CTL_PCAPNG_H
#define CTL_PCAPNG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* draft-ietf-opsawg-pcapng: sections, interfaces (by number, in order), packets of Ethernet. */
struct pcapng {
	FILE *out;		/* borrowed; that it has taken all is asked of it at the end */
	uint64_t bytes, packets;
};

struct pcapng_packet {
	unsigned interface;
	uint64_t time_us;	/* since 1970 */
	const uint8_t *head;	/* first these, */
	size_t head_len;
	const uint8_t *data;	/* and then these */
	size_t data_len;
	size_t whole;		/* what it had been on the wire, if more than those */
	const char *comment;	/* NULL: none */
};

void pcapng_begin(struct pcapng *p, FILE *out, const char *program);
/* The first one is number 0. */
void pcapng_interface(struct pcapng *p, const char *name);
void pcapng_packet(struct pcapng *p, const struct pcapng_packet *k);

#endif
