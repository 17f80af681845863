/* proxy-front.c: NetBIOS session requests and PROXY protocol headers, cut, broken and random */
#include "config.h"

#include "t/unit/lib/vectors.h"
#include "t/unit/lib/walkfront.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Inputs of the random test. */
#define RANDOM_INPUTS 600000

#define NAME_LEN 34

static struct netbios_request
request(const uint8_t *p, size_t n)
{
	struct netbios_request q;

	assert_int_equal(netbios_request_get(&q, p, n), NETBIOS_GRANTED);
	return q;
}

static void
two_names(uint8_t p[2 * NAME_LEN], const char *called, const char *calling)
{
	front_encode(p, called, ' ', 0x20);
	front_encode(p + NAME_LEN, calling, ' ', 0x00);
}

static void
test_names(void **state)
{
	/* "The NetBIOS name", which RFC 1001 14.1 has for an example; encoded by hand. */
	static const char example[] = "FEGIGFCAEOGFHEECEJEPFDCAGOGBGNGF";
	/* What smbclient 4.17 sends for NAS<20> and LABCLIENT<00>. */
	static const char smbclient[] =
	    "20454f45424644434143414341434143414341434143414341434143414341434100"
	    "20454d454245434544454d454a4546454f4645434143414341434143414341414100";
	uint8_t p[2 * NAME_LEN], *hex;
	struct netbios_request q;
	size_t n;

	(void)state;
	two_names(p, "x", "y");
	memcpy(p + 1, example, 32);
	memcpy(p + NAME_LEN + 1, example, 32);
	q = request(p, sizeof(p));
	assert_string_equal(q.called.text, "The NetBIOS nam");
	assert_int_equal(q.called.suffix, 'e');
	assert_string_equal(q.calling.text, "The NetBIOS nam");

	two_names(p, "NAS", "A CLIENT");
	q = request(p, sizeof(p));
	assert_string_equal(q.called.text, "NAS");
	assert_int_equal(q.called.suffix, 0x20);
	assert_string_equal(q.calling.text, "A CLIENT");
	assert_int_equal(q.calling.suffix, 0);

	/* Padded with NULs; nothing but padding; beyond ASCII. */
	front_encode(p, "*", '\0', 0);
	front_encode(p + NAME_LEN, "", ' ', 0x1f);
	q = request(p, sizeof(p));
	assert_string_equal(q.called.text, "*");
	assert_string_equal(q.calling.text, "");
	assert_int_equal(q.calling.suffix, 0x1f);
	front_encode(p + NAME_LEN, "B\xdcRO", ' ', 0);
	assert_string_equal(request(p, sizeof(p)).calling.text, "B\xdcRO");

	hex = unhex(smbclient, &n);
	assert_int_equal(n, 68);
	q = request(hex, n);
	assert_string_equal(q.called.text, "NAS");
	assert_int_equal(q.called.suffix, 0x20);
	assert_string_equal(q.calling.text, "LABCLIENT");
	free(hex);
}

/* A name with the scope "LAB.EXAMPLE" behind it, and with one as long as may be, and longer. */
static void
test_scope(void **state)
{
	static const uint8_t scope[] = "\003LAB\007EXAMPLE";
	uint8_t p[600], long_scope[256];
	struct netbios_request q;

	(void)state;
	two_names(p, "NAS", "CLIENT");
	memmove(p + 33 + sizeof(scope), p + NAME_LEN, NAME_LEN);
	memcpy(p + 33, scope, sizeof(scope));
	q = request(p, 33 + sizeof(scope) + NAME_LEN);
	assert_string_equal(q.called.text, "NAS");
	assert_string_equal(q.calling.text, "CLIENT");
	for (size_t over = 0; over < 2; over++) {
		/* 33 bytes of name, labels of 64, 64, 64 and 29 or 30, and the end: 255 or 256. */
		size_t labels[] = { 63, 63, 63, 28 + over }, n = 0;

		for (size_t i = 0; i < COUNT(labels); i++) {
			long_scope[n] = (uint8_t)labels[i];
			memset(long_scope + n + 1, 'x', labels[i]);
			n += 1 + labels[i];
		}
		long_scope[n++] = 0;
		two_names(p, "NAS", "CLIENT");
		memmove(p + 33 + n, p + NAME_LEN, NAME_LEN);
		memcpy(p + 33, long_scope, n);
		assert_int_equal(netbios_request_get(&q, p, 33 + n + NAME_LEN),
		    over ? NETBIOS_NO_CALLED : NETBIOS_GRANTED);
	}
	/* A label that says it is a pointer, as in the DNS. */
	two_names(p, "NAS", "CLIENT");
	p[33] = 0xc0;
	assert_int_equal(netbios_request_get(&q, p, 2 * NAME_LEN), NETBIOS_NO_CALLED);
}

static void
test_names_bad(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t byte;
		enum netbios_error e;
	} cases[] = {
		{ "the called name's length", 0, 31, NETBIOS_NO_CALLED },
		{ "the called name's length, longer", 0, 33, NETBIOS_NO_CALLED },
		{ "the called name's length, none", 0, 0, NETBIOS_NO_CALLED },
		{ "a letter below A", 1, '@', NETBIOS_NO_CALLED },
		{ "a letter beyond P", 2, 'Q', NETBIOS_NO_CALLED },
		{ "a small letter", 1, 'a', NETBIOS_NO_CALLED },
		{ "a NUL among the letters", 17, 0, NETBIOS_NO_CALLED },
		{ "beyond ASCII", 32, 0xc1, NETBIOS_NO_CALLED },
		{ "a control character in the name", 1, 'A', NETBIOS_NO_CALLED },
		{ "no end of the called name", 33, 1, NETBIOS_NO_CALLED },
		{ "the calling name's length", 34, 31, NETBIOS_NO_CALLING },
		{ "a letter of the calling name", 66, 'Z', NETBIOS_NO_CALLING },
		{ "a control character in the calling name", 35, 'B', NETBIOS_NO_CALLING },
		{ "no end of the calling name", 67, 1, NETBIOS_NO_CALLING },
	};
	struct netbios_request q;
	uint8_t p[2 * NAME_LEN + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		two_names(p, "NAS", "CLIENT");
		p[cases[i].at] = cases[i].byte;
		if (netbios_request_get(&q, p, 2 * NAME_LEN) != cases[i].e)
			fail_msg("%s: 0x%02x", cases[i].what,
			    netbios_request_get(&q, p, 2 * NAME_LEN));
	}
	two_names(p, "NAS", "CLIENT");
	p[2 * NAME_LEN] = 0;
	assert_int_equal(netbios_request_get(&q, p, 2 * NAME_LEN + 1), NETBIOS_UNSPECIFIED);
	for (size_t n = 0; n < 2 * NAME_LEN; n++) {
		uint8_t *cut = exact(p, n);

		assert_int_equal(netbios_request_get(&q, cut, n), NETBIOS_UNSPECIFIED);
		free(cut);
	}
	/* Padding in the midst of a name is none. */
	front_encode(p, "A", '\0', 0x20);
	p[31] = 'E';
	p[32] = 'B';
	p[29] = 'E';
	p[30] = 'B';
	assert_int_equal(netbios_request_get(&q, p, 2 * NAME_LEN), NETBIOS_NO_CALLED);
}

static void
test_answers(void **state)
{
	uint8_t a[NETBIOS_ANSWER_MAX];

	(void)state;
	assert_int_equal(netbios_answer_put(a, NETBIOS_GRANTED), 4);
	assert_memory_equal(a, "\x82\0\0\0", 4);
	assert_int_equal(netbios_answer_put(a, NETBIOS_NO_CALLED), 5);
	assert_memory_equal(a, "\x83\0\0\1\x82", 5);
	assert_int_equal(netbios_answer_put(a, NETBIOS_UNSPECIFIED), 5);
	assert_memory_equal(a, "\x83\0\0\1\x8f", 5);
}

/* The addresses of a good header as text; NULL: of the connection itself. */
struct good {
	const char *header;	/* version 1: the text; version 2: hex behind the signature */
	const char *client, *local;
};

static const struct good v1_good[] = {
	{ "PROXY TCP4 192.0.2.5 198.51.100.7 50123 445\r\n", "192.0.2.5:50123", "198.51.100.7:445" },
	{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
	    "255.255.255.255:65535" },
	{ "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0" },
	{ "PROXY TCP6 2001:db8::5 2001:db8::7 1 445\r\n", "[2001:db8::5]:1", "[2001:db8::7]:445" },
	{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	/* Folded: the IPv4 address and its mapped twin are one. */
	{ "PROXY TCP6 ::ffff:192.0.2.5 ::ffff:198.51.100.7 50123 445\r\n", "192.0.2.5:50123",
	    "198.51.100.7:445" },
	{ "PROXY UNKNOWN\r\n", NULL, NULL },
	{ "PROXY UNKNOWN 192.0.2.5 198.51.100.7 50123 445\r\n", NULL, NULL },
	{ "PROXY UNKNOWN \t whatever\r\n", NULL, NULL },
};

static const struct good v2_good[] = {
	{ "21 11 000c c0000205 c6336407 c3cb 01bd", "192.0.2.5:50123", "198.51.100.7:445" },
	{ "21 21 0024 20010db8000000000000000000000005 20010db8000000000000000000000007 0001 01bd",
	    "[2001:db8::5]:1", "[2001:db8::7]:445" },
	{ "21 21 0024 00000000000000000000ffffc0000205 00000000000000000000ffffc6336407 c3cb 01bd",
	    "192.0.2.5:50123", "198.51.100.7:445" },
	/* TLVs: an empty one, PP2_TYPE_NOOP, one of a type that nobody knows. */
	{ "21 11 0018 c0000205 c6336407 c3cb 01bd 04 0000 04 0001 00 ee 0002 abcd",
	    "192.0.2.5:50123", "198.51.100.7:445" },
	/* Sent by haproxy 2.6 with a unique id and its own CRC-32C. */
	{ "21 11 001f 7f000001 7f000001 c08e e75b 03 0004 0dd7c565 05 0009 6c61622d3134343634",
	    "127.0.0.1:49294", "127.0.0.1:59227" },
	{ "20 00 0000", NULL, NULL },
	{ "20 11 000c c0000205 c6336407 c3cb 01bd", NULL, NULL },
	{ "20 31 0003 ffffff", NULL, NULL },
	{ "21 00 0000", NULL, NULL },
	{ "21 00 0005 0102030405", NULL, NULL },
};

static const char *const v1_bad[] = {
	"PROXY\r\n",
	"PROXY \r\n",
	"PROXY TCP4\r\n",
	"PROXY TCP4 192.0.2.5\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 \r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 445 \r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 445 x\r\n",
	"PROXY TCP4  192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY  TCP4 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY TCP4 192.0.2.5\t198.51.100.7 50123 445\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 445\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 445\r\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 65536\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 050123 445\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 0445\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 50123 00\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 +50123 445\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 -1 445\r\n",
	"PROXY TCP4 192.0.2.5 198.51.100.7 4294967297 445\r\n",
	"PROXY TCP4 192.0.2.256 198.51.100.7 50123 445\r\n",
	"PROXY TCP4 192.0.2 198.51.100.7 50123 445\r\n",
	"PROXY TCP4 2001:db8::5 2001:db8::7 50123 445\r\n",
	"PROXY TCP4 ::ffff:192.0.2.5 ::ffff:198.51.100.7 50123 445\r\n",
	"PROXY TCP6 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY TCP6 2001:db8::5%eth0 2001:db8::7 50123 445\r\n",
	"PROXY TCP6 [2001:db8::5] [2001:db8::7] 50123 445\r\n",
	"PROXY TCP4 a.example b.example 50123 445\r\n",
	"PROXY TCP5 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY UDP4 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY tcp4 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXY unknown\r\n",
	"PROXY UNKNOWNS\r\n",
	"proxy TCP4 192.0.2.5 198.51.100.7 50123 445\r\n",
	"PROXYTCP4 192.0.2.5 198.51.100.7 50123 445\r\n",
	" PROXY TCP4 192.0.2.5 198.51.100.7 50123 445\r\n",
};

static const char *const v2_bad[] = {
	"11 11 000c c0000205 c6336407 c3cb 01bd",	/* version 1 */
	"31 11 000c c0000205 c6336407 c3cb 01bd",	/* version 3 */
	"22 11 000c c0000205 c6336407 c3cb 01bd",	/* neither LOCAL nor PROXY */
	"2f 11 000c c0000205 c6336407 c3cb 01bd",
	"21 12 000c c0000205 c6336407 c3cb 01bd",	/* UDP */
	"21 22 0024 20010db8000000000000000000000005 20010db8000000000000000000000007 0001 01bd",
	"21 10 000c c0000205 c6336407 c3cb 01bd",	/* IPv4 and no protocol */
	"21 01 000c c0000205 c6336407 c3cb 01bd",
	"21 31 0000",					/* Unix */
	"21 32 0000",
	"21 41 000c c0000205 c6336407 c3cb 01bd",	/* a family that there is not */
	"21 11 000b c0000205 c6336407 c3cb 01",		/* too short for its addresses */
	"21 21 0023 20010db8000000000000000000000005 20010db8000000000000000000000007 0001 01",
	"21 21 000c c0000205 c6336407 c3cb 01bd",
	"21 11 000d c0000205 c6336407 c3cb 01bd 04",	/* half a TLV */
	"21 11 000e c0000205 c6336407 c3cb 01bd 04 00",
	"21 11 0010 c0000205 c6336407 c3cb 01bd 04 0002 00",
	"21 11 0010 c0000205 c6336407 c3cb 01bd 04 ffff 00",
	"21 11 0013 c0000205 c6336407 c3cb 01bd 03 0004 00000000",	/* checksums */
	"21 11 001f 7f000001 7f000001 c08e e75b 03 0004 0dd7c564 05 0009 6c61622d3134343634",
	"21 11 001f 7f000002 7f000001 c08e e75b 03 0004 0dd7c565 05 0009 6c61622d3134343634",
	"21 11 001f 7f000001 7f000001 c08e e75b 03 0004 0dd7c565 05 0009 6c61622d3134343635",
	"21 11 0011 c0000205 c6336407 c3cb 01bd 03 0002 0000",
	"21 11 0ff1",					/* 4097 bytes in all */
	"21 11 ffff",
	"20 00 ffff",
};

#define SIGNATURE "0d0a0d0a000d0a515549540a"

/* Version 2: the signature, then the hex without its spaces. */
static uint8_t *
v2_bytes(const char *text, size_t *n)
{
	char hex[2048] = SIGNATURE;
	size_t len = strlen(hex);

	for (; *text != '\0'; text++)
		if (*text != ' ')
			hex[len++] = *text;
	hex[len] = '\0';
	return unhex(hex, n);
}

static void
check_good(const uint8_t *p, size_t n, const struct good *g)
{
	uint8_t *more = malloc(n + 8);
	struct ppheader h;
	char text[ADDR_STRLEN];

	assert_non_null(more);
	memcpy(more, p, n);
	memset(more + n, 0xfe, 8);
	for (size_t behind = 0; behind <= 8; behind += 8) {
		h = ppheader_get(more, n + behind);
		if (h.kind != (g->client != NULL ? PPHEADER_PROXIED : PPHEADER_LOCAL))
			fail_msg("%s: %d", g->header, h.kind);
		assert_int_equal(h.n, n);
		if (g->client == NULL)
			continue;
		assert_string_equal(addrport_str(&h.client, text), g->client);
		assert_string_equal(addrport_str(&h.local, text), g->local);
	}
	free(more);
	/* Cut anywhere it asks for more, and never for more than there will be. */
	for (size_t len = 0; len < n; len++) {
		uint8_t *cut = exact(p, len);

		h = ppheader_get(cut, len);
		if (h.kind != PPHEADER_MORE || h.n <= len || h.n > n)
			fail_msg("%s, %zu bytes of it: %d, %zu", g->header, len, h.kind, h.n);
		free(cut);
	}
}

static void
test_proxy_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(v1_good); i++)
		check_good((const uint8_t *)v1_good[i].header, strlen(v1_good[i].header),
		    &v1_good[i]);
	for (size_t i = 0; i < COUNT(v2_good); i++) {
		size_t n;
		uint8_t *p = v2_bytes(v2_good[i].header, &n);

		check_good(p, n, &v2_good[i]);
		free(p);
	}
}

static void
test_proxy_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(v1_bad); i++) {
		uint8_t *p = exact(v1_bad[i], strlen(v1_bad[i]));

		if (ppheader_get(p, strlen(v1_bad[i])).kind != PPHEADER_BAD)
			fail_msg("%s: %d", v1_bad[i], ppheader_get(p, strlen(v1_bad[i])).kind);
		free(p);
	}
	for (size_t i = 0; i < COUNT(v2_bad); i++) {
		size_t n;
		uint8_t *p = v2_bytes(v2_bad[i], &n);

		if (ppheader_get(p, n).kind != PPHEADER_BAD)
			fail_msg("%s: %d", v2_bad[i], ppheader_get(p, n).kind);
		free(p);
	}
}

static void
test_proxy_length(void **state)
{
	uint8_t line[200], *p, *whole = malloc(PPHEADER_MAX);
	size_t n;

	(void)state;
	assert_non_null(whole);
	/* A line of 107 bytes is whole, one of 108 never. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(ppheader_get(line, 107).kind, PPHEADER_LOCAL);
	assert_int_equal(ppheader_get(line, 106).n, 107);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(ppheader_get(line, 106).kind, PPHEADER_MORE);
	assert_int_equal(ppheader_get(line, 107).kind, PPHEADER_BAD);
	assert_int_equal(ppheader_get(line, 108).kind, PPHEADER_BAD);
	/* As long as version 2 may be: one TLV fills it. */
	p = v2_bytes("21 11 0ff0 c0000205 c6336407 c3cb 01bd 04 0fe1", &n);
	memset(whole, 0, PPHEADER_MAX);
	memcpy(whole, p, n);
	assert_int_equal(ppheader_get(whole, n).n, PPHEADER_MAX);
	assert_int_equal(ppheader_get(whole, PPHEADER_MAX).kind, PPHEADER_PROXIED);
	whole[n - 1]++;
	assert_int_equal(ppheader_get(whole, PPHEADER_MAX).kind, PPHEADER_BAD);
	free(p);
	free(whole);
	/* SMB, in either form, is no header. */
	assert_int_equal(ppheader_get((const uint8_t *)"\0\0\0\x64\xfeSMB", 8).kind, PPHEADER_BAD);
	assert_int_equal(ppheader_get((const uint8_t *)"\x81\0\0\x44", 4).kind, PPHEADER_BAD);
}

static uint64_t
next_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * UINT64_C(0x2545f4914f6cdd1d);
}

/* A good input of any kind, or noise. */
static size_t
template(uint8_t p[600], uint64_t *s)
{
	uint64_t r = next_random(s);
	size_t n, i;
	uint8_t *v2;

	switch (r % 8) {
	case 0:
		n = (r >> 8) % 600;
		for (i = 0; i < n; i++)
			p[i] = (uint8_t)next_random(s);
		return n;
	case 1:
	case 2:
	case 3:
		two_names(p, "*SMBSERVER", "CLIENT");
		return 2 * NAME_LEN;
	case 4:
	case 5:
		i = (r >> 8) % COUNT(v1_good);
		n = strlen(v1_good[i].header);
		memcpy(p, v1_good[i].header, n);
		return n;
	default:
		v2 = v2_bytes(v2_good[(r >> 8) % COUNT(v2_good)].header, &n);
		memcpy(p, v2, n);
		free(v2);
		return n;
	}
}

/* Changes, cuts or lengthens it, or leaves it alone; noise is likelier to be a word of its kind. */
static size_t
change(uint8_t *p, size_t n, uint64_t *s)
{
	static const char words[] = "\r\n 0159.:ABPQfFTCPUX\0\1\x03\x10\x11\x20\x21\x7f\x80\xff";
	unsigned times = next_random(s) % 4;

	while (times-- > 0 && n > 0) {
		uint64_t r = next_random(s);
		size_t at = (r >> 8) % n;

		switch (r & 7) {
		case 0:
			n = at;
			break;
		case 1:
			if (n < 590) {
				memset(p + n, (int)(r >> 40), 8);
				n += 8;
			}
			break;
		case 2:
		case 3:
			p[at] ^= (uint8_t)(1 << (r >> 40 & 7));
			break;
		case 4:
			p[at] = (uint8_t)(r >> 40);
			break;
		default:
			p[at] = (uint8_t)words[(r >> 40) % sizeof(words)];
			break;
		}
	}
	return n;
}

static void
test_random(void **state)
{
	const char *text = getenv("SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL), s;
	struct front_count c = { 0 };
	uint8_t p[600];

	(void)state;
	print_message("# SEED=%llu\n", (unsigned long long)seed);
	s = seed * 2 + 1;
	for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
		size_t n = template(p, &s);
		uint8_t *q;

		n = change(p, n, &s);
		q = exact(p, n);
		front_netbios(q, n, &c);
		front_ppheader(q, n, &c);
		free(q);
	}
	print_message("# granted %lu refused %lu, proxied %lu local %lu more %lu bad %lu\n",
	    c.granted, c.refused, c.proxied, c.local, c.more, c.bad);
	/* It was not all noise. */
	assert_true(c.granted > RANDOM_INPUTS / 20 && c.proxied > RANDOM_INPUTS / 20);
	assert_true(c.local > RANDOM_INPUTS / 40 && c.more > RANDOM_INPUTS / 100);
	assert_int_equal(c.granted + c.refused, RANDOM_INPUTS);
	assert_int_equal(c.proxied + c.local + c.more + c.bad, RANDOM_INPUTS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_names_bad),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_proxy_good),
		cmocka_unit_test(test_proxy_bad),
		cmocka_unit_test(test_proxy_length),
		cmocka_unit_test(test_random),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
