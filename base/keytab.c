/* keytab.c: the file format of keytabs, version 0x0502 */
#include "config.h"

#include "base/keytab.h"

#include "base/rd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * 05 02, then records: a signed length, and as many bytes; a negative one is a hole, where an entry
 * was deleted. All numbers are big-endian. An entry:
 *
 *	u16 number of components, u16+bytes realm, u16+bytes each component, u32 name type,
 *	u32 timestamp, u8 kvno, u16 enctype, u16+bytes key, and where there is room: u32 kvno
 */
#define FORMAT 0x0502

static const struct {
	uint32_t enctype;
	size_t key_len;
	const char *name;
} enctypes[] = {
	{ KEYTAB_AES128_SHA1, 16, "aes128-cts-hmac-sha1-96" },
	{ KEYTAB_AES256_SHA1, 32, "aes256-cts-hmac-sha1-96" },
	{ KEYTAB_AES128_SHA2, 16, "aes128-cts-hmac-sha256-128" },
	{ KEYTAB_AES256_SHA2, 32, "aes256-cts-hmac-sha384-192" },
	{ KEYTAB_RC4, 16, "rc4-hmac" },
};
#define NENCTYPES (sizeof(enctypes) / sizeof(enctypes[0]))

static int __attribute__((format(printf, 3, 4)))
wrong(char why[KEYTAB_WHY], size_t record, const char *fmt, ...)
{
	int n = snprintf(why, KEYTAB_WHY, "keytab: entry %zu: ", record);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why + n, KEYTAB_WHY - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* A name with a NUL in it would be another one to whoever prints or compares it. */
static struct keytab_text
text(struct rd *r)
{
	struct keytab_text t = { .n = rd_be16(r) };

	t.p = (const char *)rd_bytes(r, t.n);
	if (t.p == NULL || memchr(t.p, '\0', t.n) != NULL)
		r->bad = true;
	return t;
}

static int
get_entry(struct keytab_entry *e, struct rd r, size_t record, char why[KEYTAB_WHY])
{
	*e = (struct keytab_entry){ .ncomponents = rd_be16(&r) };
	if (e->ncomponents > KEYTAB_COMPONENTS_MAX)
		return wrong(why, record, "%zu components", e->ncomponents);
	e->realm = text(&r);
	for (size_t i = 0; i < e->ncomponents; i++)
		e->component[i] = text(&r);
	e->name_type = rd_be32(&r);
	rd_skip(&r, 4);
	e->kvno = rd_u8(&r);
	e->enctype = rd_be16(&r);
	e->key_len = rd_be16(&r);
	e->key = rd_bytes(&r, e->key_len);
	if (!rd_ok(&r))
		return wrong(why, record, "does not keep to its length");
	/* Zero is padding: an older program has reused a longer hole. */
	if (rd_left(&r) >= 4) {
		uint32_t kvno = rd_be32(&r);

		if (kvno != 0)
			e->kvno = kvno;
	}
	return 0;
}

/* 1: one to use. 0: of no use here. -1: wrong. */
static int
judge_entry(const struct keytab_entry *e, size_t record, char why[KEYTAB_WHY])
{
	for (size_t i = 0; i < NENCTYPES; i++) {
		if (enctypes[i].enctype != e->enctype)
			continue;
		if (e->key_len != enctypes[i].key_len)
			return wrong(why, record, "%zu bytes are no key of %s", e->key_len,
			    enctypes[i].name);
		return 1;
	}
	return 0;
}

int
keytab_parse(const uint8_t *p, size_t n, int (*each)(void *arg, const struct keytab_entry *e),
    void *arg, size_t *unknown, char why[KEYTAB_WHY])
{
	struct rd r = rd_init(p, n);
	uint16_t version = rd_be16(&r);

	*unknown = 0;
	if (!rd_ok(&r) || version != FORMAT) {
		snprintf(why, KEYTAB_WHY, n == 0 ? "keytab: it is empty" :
		    "keytab: not a keytab file of version 0x%04x", FORMAT);
		return -1;
	}
	for (size_t record = 1; rd_left(&r) > 0; record++) {
		uint32_t len = rd_be32(&r);
		struct keytab_entry e;
		struct rd sub;
		int use;

		if (!rd_ok(&r))
			return wrong(why, record, "the file ends in its length");
		/* As libkrb5 has it: nothing comes behind a zero. */
		if (len == 0)
			break;
		if (len >= 0x80000000) {
			rd_skip(&r, 0u - len);
			if (!rd_ok(&r))
				return wrong(why, record, "the file ends in a hole");
			continue;
		}
		sub = rd_sub(&r, r.pos, len);
		rd_skip(&r, len);
		if (!rd_ok(&r))
			return wrong(why, record, "the file ends in it");
		if (get_entry(&e, sub, record, why) == -1 ||
		    (use = judge_entry(&e, record, why)) == -1)
			return -1;
		if (use == 0)
			(*unknown)++;
		else if (each(arg, &e) == -1)
			return -1;
	}
	return 0;
}

bool
keytab_serves(const struct keytab_entry *e, const char *services)
{
	size_t n;

	for (const char *s = services; e->ncomponents > 1 && *s != '\0'; s += n + (s[n] == ',')) {
		n = strcspn(s, ",");
		if (e->component[0].p != NULL && n == e->component[0].n &&
		    strncasecmp(s, e->component[0].p, n) == 0)
			return true;
	}
	return e->ncomponents == 1;
}

uint8_t *
keytab_read(int fd, size_t *n, char why[KEYTAB_WHY])
{
	uint8_t *p = malloc(KEYTAB_FILE_MAX + 1);
	ssize_t got = 0;

	*n = 0;
	if (p == NULL) {
		snprintf(why, KEYTAB_WHY, "out of memory");
		return NULL;
	}
	while (*n <= KEYTAB_FILE_MAX && (got = read(fd, p + *n, KEYTAB_FILE_MAX + 1 - *n)) > 0)
		*n += (size_t)got;
	if (got != -1 && *n <= KEYTAB_FILE_MAX)
		return p;
	if (got == -1)
		snprintf(why, KEYTAB_WHY, "%s", strerror(errno));
	else
		snprintf(why, KEYTAB_WHY, "larger than %d bytes", KEYTAB_FILE_MAX);
	explicit_bzero(p, *n);
	free(p);
	return NULL;
}

struct counting {
	const char *services;
	struct keytab_use *use;
};

static int
use_cb(void *arg, const struct keytab_entry *e)
{
	struct counting *u = arg;

	if (keytab_serves(e, u->services))
		u->use->usable++;
	else
		u->use->others++;
	return 0;
}

int
keytab_use(int fd, const char *services, struct keytab_use *u, char why[KEYTAB_WHY])
{
	struct counting arg = { .services = services, .use = u };
	size_t n;
	uint8_t *p = keytab_read(fd, &n, why);
	int r;

	*u = (struct keytab_use){ .usable = 0 };
	if (p == NULL)
		return -1;
	r = keytab_parse(p, n, use_cb, &arg, &u->unknown, why);
	explicit_bzero(p, n);
	free(p);
	return r;
}

const char *
keytab_enctype_str(uint32_t enctype, char dst[32])
{
	for (size_t i = 0; i < NENCTYPES; i++)
		if (enctypes[i].enctype == enctype)
			return enctypes[i].name;
	snprintf(dst, 32, "enctype %u", enctype);
	return dst;
}
