/* fuzz-addr.c: libFuzzer target: addresses as text against inet_pton(), prefixes bit by bit */
/* for: base/addr.c policy/acl.c policy/units.c */
#include "config.h"

#include "base/addr.h"
#include "policy/acl.h"
#include "policy/units.h"
#include "t/unit/lib/holds.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same text, as libc reads it. */
static bool
libc_reads(const char *text, struct addr *a)
{
	uint8_t four[4], six[16];

	if (inet_pton(AF_INET, text, four) == 1) {
		memset(a->b, 0, 10);
		memset(a->b + 10, 0xff, 2);
		memcpy(a->b + 12, four, 4);
		return true;
	}
	if (inet_pton(AF_INET6, text, six) != 1)
		return false;
	memcpy(a->b, six, 16);
	return true;
}

static bool
bit(const struct addr *a, unsigned i)
{
	return (a->b[i / 8] >> (7 - i % 8) & 1) != 0;
}

/* A prefix that is shorter than IPv4's place in IPv6 is of IPv6 alone. */
static bool
slowly_in(const struct prefix *p, const struct addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->len < 96 && memcmp(a->b, mapped, sizeof(mapped)) == 0)
		return false;
	for (unsigned i = 0; i < p->len; i++)
		if (bit(&p->addr, i) != bit(a, i))
			return false;
	return true;
}

/* All that can be read of a text is read again from how it is written. */
static void
fuzz_text(const char *text)
{
	char s[ADDR_STRLEN];
	struct addr a, b;
	struct addrport p, q;
	struct prefix n, m;

	HOLDS((addr_parse(&a, text) == 0) == libc_reads(text, &b));
	if (addr_parse(&a, text) == 0) {
		HOLDS(addr_equal(&a, &b));
		HOLDS(addr_parse(&b, addr_str(&a, s)) == 0 && addr_equal(&a, &b));
		HOLDS(prefix_parse(&n, text) == 0 && n.len == 128);
	}
	if (addrport_parse(&p, text, 445) == 0) {
		HOLDS(p.port != 0);
		HOLDS(addrport_parse(&q, addrport_str(&p, s), 0) == 0);
		HOLDS(q.port == p.port && addr_equal(&q.addr, &p.addr));
	}
	if (prefix_parse(&n, text) == 0) {
		HOLDS(n.len <= 128);
		for (unsigned i = n.len; i < 128; i++)
			HOLDS(!bit(&n.addr, i));
		HOLDS(prefix_parse(&m, prefix_str(&n, s)) == 0 && prefix_equal(&n, &m));
	}
}

/* An address goes into a socket's and comes back. */
static void
fuzz_sockaddr(const uint8_t *p, size_t n)
{
	struct addrport a, b;
	struct sockaddr_storage ss;

	if (n < 18)
		return;
	memcpy(a.addr.b, p, 16);
	a.port = (uint16_t)(p[16] << 8 | p[17]);
	HOLDS(addrport_to_sa(&a, &ss) == (addr_is_v4(&a.addr) ? sizeof(struct sockaddr_in)
	                                                      : sizeof(struct sockaddr_in6)));
	HOLDS(addrport_from_sa(&b, (struct sockaddr *)&ss) == 0);
	HOLDS(addr_equal(&a.addr, &b.addr) && a.port == b.port);
	HOLDS(!addr_is_loopback(&a.addr) || !addr_is_linklocal(&a.addr));
	HOLDS(!addr_is_loopback(&a.addr) || !addr_is_unspecified(&a.addr));
	ss.ss_family = AF_UNIX;
	HOLDS(addrport_from_sa(&b, (struct sockaddr *)&ss) == -1);
}

static void
fuzz_units(const char *text)
{
	char s[UNITS_STRLEN];
	uint64_t v, again;

	if (units_duration(&v, text) == 0 && v != UINT64_MAX)
		HOLDS(units_duration(&again, units_duration_str(v, s)) == 0 && again == v);
	if (units_speed(&v, text) == 0 && v != UINT64_MAX)
		HOLDS(units_speed(&again, units_speed_str(v, s)) == 0 && again == v);
	if (units_number(&v, text) == 0)
		HOLDS(strspn(text, "0123456789") == strlen(text));
}

/* Rules of 18 bytes each, and an address: what the longest says, and deny of two as long. */
static void
fuzz_rules(const uint8_t *p, size_t n)
{
	struct acl acl = { .n = 0 };
	struct addr a;
	int longest = -1;
	bool denied = false, allows = false;

	if (n < 16)
		return;
	memcpy(a.b, p, 16);
	for (p += 16, n -= 16; n >= 18; p += 18, n -= 18) {
		struct prefix r = { .len = p[17] & 127 };

		for (unsigned i = 0; i < r.len; i++)
			if ((p[i / 8] >> (7 - i % 8) & 1) != 0)
				r.addr.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
		HOLDS(acl_add(&acl, &r, (p[16] & 1) != 0) == 0);
		allows |= (p[16] & 1) == 0;
		HOLDS(prefix_match(&r, &a) == slowly_in(&r, &a));
		if (!slowly_in(&r, &a) || (int)r.len < longest)
			continue;
		denied = (p[16] & 1) != 0 || (denied && (int)r.len == longest);
		longest = (int)r.len;
	}
	HOLDS(acl_allows(&acl, &a) == (longest == -1 ? !allows : !denied));
	HOLDS((acl_decides(&acl, &a) == NULL) == (longest == -1));
	acl_fini(&acl);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	HOLDS(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	fuzz_text(text);
	fuzz_units(text);
	fuzz_rules(data, size);
	fuzz_sockaddr(data, size);
	free(text);
	return 0;
}
