/* packets.c: the bytes of both legs of connections, as packets of TCP */
#include "config.h"

#include "ctl/packets.h"

#include "ctl/pcapng.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ETHER_LEN 14
#define IP4_LEN 20
#define IP6_LEN 40
#define TCP_LEN 20
#define HEAD_MAX (ETHER_LEN + IP6_LEN + TCP_LEN)
/* Payload of a packet: with its headers it stays below 64 KiB. */
#define PAYLOAD_MAX 61440

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_PUSH 0x08
#define TCP_ACK 0x10

#define BUCKETS 1024

/* The first byte of each way has this number; the SYN, if there is one, has the one before. */
#define FIRST_SEQ 1u

struct leg {
	bool open;
	bool v4;
	struct tapmsg_ends ends;
	uint64_t end[2];	/* by enum tapmsg_way: behind the last byte */
};

struct flow {
	SLIST_ENTRY(flow) entry;
	uint64_t conn;
	struct leg leg[2];	/* by enum tapmsg_leg */
};

SLIST_HEAD(flows, flow);

struct packets {
	struct pcapng to;
	uint16_t odd_port;
	uint16_t ip_id;
	struct flows flows[BUCKETS];
};

/* One packet to be made. */
struct segment {
	unsigned leg, way;
	uint8_t flags;
	uint64_t offset;
	const uint8_t *data;
	size_t len;
	size_t whole;
	uint64_t time_us;
	const char *comment;
};

struct packets *
packets_new(FILE *out, const char *program)
{
	struct packets *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	pcapng_begin(&p->to, out, program);
	pcapng_interface(&p->to, "client");
	pcapng_interface(&p->to, "node");
	return p;
}

void
packets_free(struct packets **pp)
{
	struct packets *p = *pp;
	struct flow *f;

	*pp = NULL;
	for (size_t i = 0; p != NULL && i < BUCKETS; i++)
		while ((f = SLIST_FIRST(&p->flows[i])) != NULL) {
			SLIST_REMOVE_HEAD(&p->flows[i], entry);
			free(f);
		}
	free(p);
}

static void
be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void
be32(uint8_t *p, uint32_t v)
{
	be16(p, v >> 16);
	be16(p + 2, v & 0xffff);
}

/* RFC 1071, over runs of an even length but for the last. */
static uint64_t
sum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		sum += (uint64_t)p[0] << 8 | p[1];
	return n == 1 ? sum + ((uint64_t)p[0] << 8) : sum;
}

static uint16_t
sum_end(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
ethernet(uint8_t *p, const struct segment *s, bool v4)
{
	/* Locally administered: ..:00 is smbgate, ..:01 its clients, ..:02 its nodes. */
	static const uint8_t mac[5] = { 0x02, 0, 0, 0, 0 };
	const uint8_t peer = (uint8_t)(s->leg + 1);

	memcpy(p, mac, sizeof(mac));
	p[5] = s->way == TAPMSG_RECEIVED ? 0 : peer;
	memcpy(p + 6, mac, sizeof(mac));
	p[11] = s->way == TAPMSG_RECEIVED ? peer : 0;
	be16(p + 12, v4 ? 0x0800 : 0x86dd);
}

/* Returns its length; *sum begins with that of the pseudo header. */
static size_t
ip(struct packets *k, uint8_t *p, const struct leg *l, const struct segment *s, uint64_t *sum)
{
	const size_t payload = TCP_LEN + s->whole, alen = l->v4 ? 4 : 16, skip = 16 - alen;
	const struct addrport *src = s->way == TAPMSG_RECEIVED ? &l->ends.peer : &l->ends.own;
	const struct addrport *dst = s->way == TAPMSG_RECEIVED ? &l->ends.own : &l->ends.peer;
	uint8_t *addrs;

	if (l->v4) {
		p[0] = 0x45;
		be16(p + 2, IP4_LEN + payload);
		be16(p + 4, k->ip_id++);
		p[6] = 0x40;
		p[8] = 64;
		p[9] = IPPROTO_TCP;
		addrs = p + 12;
	} else {
		p[0] = 0x60;
		be16(p + 4, payload);
		p[6] = IPPROTO_TCP;
		p[7] = 64;
		addrs = p + 8;
	}
	memcpy(addrs, src->addr.b + skip, alen);
	memcpy(addrs + alen, dst->addr.b + skip, alen);
	*sum = sum_add(IPPROTO_TCP + payload, addrs, 2 * alen);
	if (l->v4)
		be16(p + 10, sum_end(sum_add(0, p, IP4_LEN)));
	return l->v4 ? IP4_LEN : IP6_LEN;
}

static void
tcp(uint8_t *p, const struct leg *l, const struct segment *s, uint64_t sum)
{
	const struct addrport *src = s->way == TAPMSG_RECEIVED ? &l->ends.peer : &l->ends.own;
	const struct addrport *dst = s->way == TAPMSG_RECEIVED ? &l->ends.own : &l->ends.peer;

	be16(p, src->port);
	be16(p + 2, dst->port);
	be32(p + 4, FIRST_SEQ + (uint32_t)s->offset - ((s->flags & TCP_SYN) != 0));
	if ((s->flags & TCP_ACK) != 0)
		be32(p + 8, FIRST_SEQ + (uint32_t)l->end[!s->way]);
	p[12] = (TCP_LEN / 4) << 4;
	p[13] = s->flags;
	be16(p + 14, 0xffff);
	sum = sum_add(sum, p, TCP_LEN);
	/* Of what is cut nobody knows it. */
	if (s->whole == s->len)
		be16(p + 16, sum_end(sum_add(sum, s->data, s->len)));
}

static void
write_segment(struct packets *k, const struct leg *l, const struct segment *s)
{
	uint8_t head[HEAD_MAX] = { 0 };
	size_t len = ETHER_LEN;
	uint64_t sum;

	ethernet(head, s, l->v4);
	len += ip(k, head + len, l, s, &sum);
	tcp(head + len, l, s, sum);
	len += TCP_LEN;
	pcapng_packet(&k->to, &(struct pcapng_packet){
		.interface = s->leg,
		.time_us = s->time_us,
		.head = head,
		.head_len = len,
		.data = s->data,
		.data_len = s->len,
		.whole = len + s->whole,
		.comment = s->comment,
	});
}

static struct flow *
flow_of(struct packets *p, uint64_t conn, bool make)
{
	struct flows *b = &p->flows[conn % BUCKETS];
	struct flow *f;

	SLIST_FOREACH(f, b, entry)
		if (f->conn == conn)
			return f;
	f = make ? calloc(1, sizeof(*f)) : NULL;
	if (f != NULL) {
		f->conn = conn;
		SLIST_INSERT_HEAD(b, f, entry);
	}
	return f;
}

/* Who opened it: the client did, and smbgate the leg to the node. */
static void
handshake(struct packets *p, const struct leg *l, const struct tapmsg *m)
{
	const unsigned from = m->leg == TAPMSG_CLIENT ? TAPMSG_RECEIVED : TAPMSG_SENT;
	struct segment s = { .leg = m->leg, .way = from, .flags = TCP_SYN,
		.time_us = m->time_us };

	write_segment(p, l, &s);
	s.way = !from;
	s.flags = TCP_SYN | TCP_ACK;
	write_segment(p, l, &s);
	s.way = from;
	s.flags = TCP_ACK;
	write_segment(p, l, &s);
}

static void
add_open(struct packets *p, const struct tapmsg *m, const uint8_t *data)
{
	struct flow *f = flow_of(p, m->conn, true);
	struct leg *l;
	uint16_t port;

	if (f == NULL)
		return;
	l = &f->leg[m->leg];
	*l = (struct leg){ .open = true };
	tapmsg_ends_get(&l->ends, data);
	l->v4 = addr_is_v4(&l->ends.peer.addr) && addr_is_v4(&l->ends.own.addr);
	port = m->leg == TAPMSG_CLIENT ? l->ends.own.port : l->ends.peer.port;
	if (port != 445 && port != 139 && p->odd_port == 0)
		p->odd_port = port;
	if (m->fresh)
		handshake(p, l, m);
}

static void
add_data(struct packets *p, const struct tapmsg *m, const uint8_t *data)
{
	struct flow *f = flow_of(p, m->conn, false);
	struct leg *l = f == NULL ? NULL : &f->leg[m->leg];
	struct segment s = {
		.leg = m->leg,
		.way = m->way,
		.flags = TCP_PUSH | TCP_ACK,
		.time_us = m->time_us,
	};

	if (l == NULL || !l->open)
		return;
	for (size_t at = 0; at < m->whole; at += s.whole) {
		const size_t there = m->len > at ? m->len - at : 0;

		s.offset = m->offset + at;
		s.whole = m->whole - at < PAYLOAD_MAX ? m->whole - at : PAYLOAD_MAX;
		s.data = there == 0 ? NULL : data + at;
		s.len = there < s.whole ? there : s.whole;
		write_segment(p, l, &s);
	}
	l->end[m->way] = m->offset + m->whole;
}

/* Both legs end, and why is said at the last packet. */
static void
add_close(struct packets *p, const struct tapmsg *m, const uint8_t *data)
{
	struct flow *f = flow_of(p, m->conn, false);
	char why[256];

	if (f == NULL)
		return;
	snprintf(why, sizeof(why), "smbgate: closed: %.*s", (int)m->len, (const char *)data);
	for (unsigned i = 0; i < 2; i++) {
		struct leg *l = &f->leg[i];
		struct segment s = { .leg = i, .way = TAPMSG_SENT, .flags = TCP_FIN | TCP_ACK,
			.offset = l->end[TAPMSG_SENT], .time_us = m->time_us, .comment = why };

		if (l->open)
			write_segment(p, l, &s);
	}
	SLIST_REMOVE(&p->flows[m->conn % BUCKETS], f, flow, entry);
	free(f);
}

void
packets_add(struct packets *p, const struct tapmsg *m, const uint8_t *data)
{
	switch ((enum tapmsg_kind)m->kind) {
	case TAPMSG_OPEN:
		add_open(p, m, data);
		break;
	case TAPMSG_DATA:
		add_data(p, m, data);
		break;
	case TAPMSG_CLOSE:
		add_close(p, m, data);
		break;
	case TAPMSG_TEXT:
	case TAPMSG_END:
		break;
	}
}

uint64_t
packets_bytes(const struct packets *p)
{
	return p->to.bytes;
}

uint64_t
packets_count(const struct packets *p)
{
	return p->to.packets;
}

uint16_t
packets_odd_port(const struct packets *p)
{
	return p->odd_port;
}
