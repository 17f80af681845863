/* pcapng.c: a file of packets, as Wireshark and tshark read it */
#include "config.h"

#include "ctl/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define LINK_ETHERNET 1
#define SNAP_MAX 262144

#define OPT_COMMENT 1
#define OPT_IF_NAME 2
#define OPT_USER_APPL 4

static void
put(struct pcapng *p, const void *src, size_t n)
{
	p->bytes += n;
	if (n > 0)
		(void)!fwrite(src, 1, n, p->out);
}

static void
put_u32(struct pcapng *p, uint32_t v)
{
	put(p, &v, sizeof(v));
}

static void
put_u16(struct pcapng *p, uint16_t v)
{
	put(p, &v, sizeof(v));
}

static size_t
padding(size_t n)
{
	return (4 - n % 4) % 4;
}

/* What a text takes as the only option. */
static size_t
option_len(const char *text)
{
	return text == NULL ? 0 : 4 + strlen(text) + padding(strlen(text)) + 4;
}

static void
put_option(struct pcapng *p, uint16_t code, const char *text)
{
	static const uint8_t zeros[4];

	if (text == NULL)
		return;
	put_u16(p, code);
	put_u16(p, (uint16_t)strlen(text));
	put(p, text, strlen(text));
	put(p, zeros, padding(strlen(text)));
	put_u32(p, 0);
}

void
pcapng_begin(struct pcapng *p, FILE *out, const char *program)
{
	const uint32_t len = (uint32_t)(28 + option_len(program));

	*p = (struct pcapng){ .out = out };
	put_u32(p, BLOCK_SECTION);
	put_u32(p, len);
	put_u32(p, BYTE_ORDER_MAGIC);
	put_u16(p, 1);
	put_u16(p, 0);
	put_u32(p, UINT32_MAX);		/* the length of the section is not known */
	put_u32(p, UINT32_MAX);
	put_option(p, OPT_USER_APPL, program);
	put_u32(p, len);
}

void
pcapng_interface(struct pcapng *p, const char *name)
{
	const uint32_t len = (uint32_t)(20 + option_len(name));

	put_u32(p, BLOCK_INTERFACE);
	put_u32(p, len);
	put_u16(p, LINK_ETHERNET);
	put_u16(p, 0);
	put_u32(p, SNAP_MAX);
	put_option(p, OPT_IF_NAME, name);	/* times are in microseconds */
	put_u32(p, len);
}

void
pcapng_packet(struct pcapng *p, const struct pcapng_packet *k)
{
	static const uint8_t zeros[4];
	const size_t n = k->head_len + k->data_len;
	const uint32_t len = (uint32_t)(32 + n + padding(n) + option_len(k->comment));

	put_u32(p, BLOCK_PACKET);
	put_u32(p, len);
	put_u32(p, k->interface);
	put_u32(p, (uint32_t)(k->time_us >> 32));
	put_u32(p, (uint32_t)k->time_us);
	put_u32(p, (uint32_t)n);
	put_u32(p, (uint32_t)(k->whole > n ? k->whole : n));
	put(p, k->head, k->head_len);
	put(p, k->data, k->data_len);
	put(p, zeros, padding(n));
	put_option(p, OPT_COMMENT, k->comment);
	put_u32(p, len);
	p->packets++;
}
