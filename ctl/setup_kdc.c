/* setup_kdc.c: is the set-up right? The KDC's clock, which it says in the clear with every error */
#include "config.h"

#include "base/addr.h"
#include "base/rd.h"
#include "ctl/found.h"
#include "ctl/setup.h"
#include "ctl/setup_priv.h"
#include "ctl/talk.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KDC_PORT "88"
/* [RFC 4120] 5.10 */
#define AS_REQ 10
#define KRB_ERROR 30

/* [X.690] 8.1.2 and 8.14 */
#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_GENERALIZED_TIME 0x18
#define DER_GENERAL_STRING 0x1b
#define DER_SEQUENCE 0x30
#define DER_APPLICATION(n) (0x60 | (n))
#define DER_CONTEXT(n) (0xa0 | (n))

/* Puts n octets into a value of that tag, [X.690] 8.1; all lengths here have one octet, or two. */
static size_t
wrap(uint8_t *p, size_t n, uint8_t tag)
{
	const size_t head = n < 128 ? 2 : 3;

	memmove(p + head, p, n);
	p[0] = tag;
	p[1] = n < 128 ? (uint8_t)n : 0x81;
	p[head - 1] = (uint8_t)n;
	return n + head;
}

static size_t
put_text(uint8_t *p, uint8_t tag, const char *text)
{
	const size_t n = strlen(text);

	memcpy(p, text, n);
	return wrap(p, n, tag);
}

static size_t
put_small(uint8_t *p, uint8_t field, uint8_t number)
{
	p[0] = number;
	return wrap(p, wrap(p, 1, DER_INTEGER), DER_CONTEXT(field));
}

/* [RFC 4120] 5.2.2: one name, or two. */
static size_t
put_name(uint8_t *p, uint8_t field, uint8_t type, const char *a, const char *b)
{
	size_t n = put_small(p, 0, type), list;

	list = put_text(p + n, DER_GENERAL_STRING, a);
	if (b != NULL)
		list += put_text(p + n + list, DER_GENERAL_STRING, b);
	n += wrap(p + n, wrap(p + n, list, DER_SEQUENCE), DER_CONTEXT(1));
	return wrap(p, wrap(p, n, DER_SEQUENCE), DER_CONTEXT(field));
}

/* [RFC 4120] 5.4.1: for nobody, in a realm that nobody has, so that an error is the answer. */
static size_t
put_request(uint8_t *p)
{
	static const char realm[] = "SMBGATE.INVALID";
	static const uint8_t options[] = { 0, 0, 0, 0, 0 };
	size_t n = put_small(p, 1, 5), body;
	uint8_t *b;

	n += put_small(p + n, 2, AS_REQ);
	b = p + n;
	memcpy(b, options, sizeof(options));
	body = wrap(b, wrap(b, sizeof(options), DER_BIT_STRING), DER_CONTEXT(0));
	body += put_name(b + body, 1, 1, "smbgatectl-check", NULL);
	body += wrap(b + body, put_text(b + body, DER_GENERAL_STRING, realm), DER_CONTEXT(2));
	body += put_name(b + body, 3, 2, "krbtgt", realm);
	body += wrap(b + body, put_text(b + body, DER_GENERALIZED_TIME, "20370101000000Z"),
	    DER_CONTEXT(5));
	body += put_small(b + body, 7, 1);
	b[body] = 18;
	body += wrap(b + body, wrap(b + body, wrap(b + body, 1, DER_INTEGER), DER_SEQUENCE),
	    DER_CONTEXT(8));
	n += wrap(b, wrap(b, body, DER_SEQUENCE), DER_CONTEXT(4));
	return wrap(p, wrap(p, n, DER_SEQUENCE), DER_APPLICATION(AS_REQ));
}

/* The contents of the next value; bad, if it is not all there or longer than any here. */
static struct rd
next_value(struct rd *r, uint8_t *tag)
{
	size_t n;
	const uint8_t *p;

	*tag = rd_u8(r);
	n = rd_u8(r);
	if (n == 0x81)
		n = rd_u8(r);
	else if (n == 0x82)
		n = (size_t)rd_u8(r) << 8, n |= rd_u8(r);
	else if (n >= 0x80)
		rd_skip(r, SIZE_MAX);
	p = rd_bytes(r, n);
	return rd_init(p, rd_ok(r) ? n : 0);
}

/* The same of a value that must have this tag; of another one there is nothing. */
static struct rd
value_of(struct rd *r, uint8_t must_be)
{
	uint8_t tag;
	struct rd v = next_value(r, &tag);

	return tag == must_be ? v : rd_init(NULL, 0);
}

/* "20261129134500Z"; -1: it is not that. */
static int64_t
time_of(const char text[16])
{
	struct tm tm = { .tm_isdst = 0 };
	int year, month, end = 0;

	if (sscanf(text, "%4d%2d%2d%2d%2d%2dZ%n", &year, &month, &tm.tm_mday, &tm.tm_hour,
	        &tm.tm_min, &tm.tm_sec, &end) != 6 || end != 15)
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	return timegm(&tm);
}

/* stime of a KRB-ERROR, [RFC 4120] 5.9.1; -1: it is none. */
static int64_t
server_time(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), fields, value;
	char text[16] = "";
	uint8_t tag;

	fields = value_of(&r, DER_APPLICATION(KRB_ERROR));
	fields = value_of(&fields, DER_SEQUENCE);
	while (rd_ok(&fields) && rd_left(&fields) > 0) {
		value = next_value(&fields, &tag);
		if (tag != DER_CONTEXT(4))
			continue;
		value = value_of(&value, DER_GENERALIZED_TIME);
		if (rd_left(&value) != sizeof(text) - 1)
			return -1;
		rd_copy(&value, text, sizeof(text) - 1);
		return time_of(text);
	}
	return -1;
}

/* "kdc.example", "10.1.0.1:88", "[fd00::1]". 0, or -1: nobody knows it. */
static int
find_kdc(const char *host, struct addrport *a)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char name[256];
	const char *port = KDC_PORT;
	char *colon;
	int r;

	if (addrport_parse(a, host, (uint16_t)atoi(KDC_PORT)) == 0)
		return 0;
	snprintf(name, sizeof(name), "%s", host);
	colon = strrchr(name, ':');
	if (colon != NULL) {
		*colon = '\0';
		port = colon + 1;
	}
	if (getaddrinfo(name, port, &hints, &found) != 0)
		return -1;
	r = addrport_from_sa(a, found->ai_addr);
	freeaddrinfo(found);
	return r;
}

void
setup_kdc(const struct setup *s)
{
	const char *host = s->ask->kdc;
	struct talk t = { .nout = 4 };
	int64_t then;

	if (host == NULL)
		return;
	if (find_kdc(host, &t.to) == -1) {
		check_found(s->c, "clock-skew", CHECK_SKIP, "KDC", "name a KDC that answers: --kdc",
		    "%s is no address, and no name that is known", host);
		return;
	}
	/* Over TCP its length comes first, [RFC 4120] 7.2.2. */
	t.nout += put_request(t.out + 4);
	t.out[2] = (uint8_t)((t.nout - 4) >> 8);
	t.out[3] = (uint8_t)(t.nout - 4);
	talk_all(&t, 1);
	then = t.err == 0 ? server_time(t.in + 4, t.have - 4) : -1;
	if (then == -1)
		check_found(s->c, "clock-skew", CHECK_SKIP, "KDC", "name a KDC that answers: --kdc",
		    "%s does not say its time: %s", host,
		    strerror(t.err == 0 ? EPROTO : t.err));
	else
		setup_clock(s, "KDC", then - (int64_t)time(NULL));
}
