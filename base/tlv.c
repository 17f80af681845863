/* tlv.c: records of typed values (type, length, value); the reader's errors are sticky */
#include "config.h"

#include "base/tlv.h"

#include <stdlib.h>
#include <string.h>

#define TLV_LEAST 512

static void
store(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
load(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* Room for n more bytes, or NULL. Not realloc(), which leaves behind what it moves. */
static uint8_t *
tlv_room(struct tlv_out *o, size_t n)
{
	if (o->bad)
		return NULL;
	if (n > o->cap - o->len) {
		size_t cap = o->cap == 0 ? TLV_LEAST : o->cap;
		uint8_t *p;

		while (cap - o->len < n)
			cap *= 2;
		p = malloc(cap);
		if (p == NULL) {
			o->bad = true;
			return NULL;
		}
		if (o->len > 0) {
			memcpy(p, o->data, o->len);
			explicit_bzero(o->data, o->len);
		}
		free(o->data);
		o->data = p;
		o->cap = cap;
	}
	o->len += n;
	return o->data + o->len - n;
}

void
tlv_put(struct tlv_out *o, uint16_t type, const void *value, size_t n)
{
	uint8_t *p;

	if (n > UINT32_MAX) {
		o->bad = true;
		return;
	}
	p = tlv_room(o, TLV_HEAD + n);
	if (p == NULL)
		return;
	store(p, type, 2);
	store(p + 2, n, 4);
	if (n > 0)
		memcpy(p + TLV_HEAD, value, n);
}

void
tlv_put_uint(struct tlv_out *o, uint16_t type, uint64_t v)
{
	uint8_t b[8];

	store(b, v, sizeof(b));
	tlv_put(o, type, b, v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8);
}

void
tlv_put_text(struct tlv_out *o, uint16_t type, const char *text)
{
	if (text != NULL)
		tlv_put(o, type, text, strlen(text));
}

size_t
tlv_begin(struct tlv_out *o, uint16_t type)
{
	tlv_put(o, type, NULL, 0);
	return o->len;
}

void
tlv_end(struct tlv_out *o, size_t at)
{
	if (o->bad)
		return;
	if (o->len - at > UINT32_MAX)
		o->bad = true;
	else
		store(o->data + at - 4, o->len - at, 4);
}

void
tlv_out_fini(struct tlv_out *o)
{
	if (o->data != NULL)
		explicit_bzero(o->data, o->len);
	free(o->data);
	memset(o, 0, sizeof(*o));
}

struct tlv_in
tlv_in(const void *data, size_t len)
{
	return (struct tlv_in){ .at = data, .left = len };
}

size_t
tlv_whole(const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t whole = 0;

	while (len - whole >= TLV_HEAD) {
		const uint64_t n = load(p + whole + 2, 4);

		if (n > len - whole - TLV_HEAD)
			break;
		whole += TLV_HEAD + n;
	}
	return whole;
}

bool
tlv_next(struct tlv_in *in)
{
	if (in->bad || in->left == 0)
		return false;
	if (in->left < TLV_HEAD) {
		in->bad = true;
		return false;
	}
	in->type = (uint16_t)load(in->at, 2);
	in->n = (size_t)load(in->at + 2, 4);
	if (in->n > in->left - TLV_HEAD) {
		in->bad = true;
		return false;
	}
	in->value = in->at + TLV_HEAD;
	in->at += TLV_HEAD + in->n;
	in->left -= TLV_HEAD + in->n;
	return true;
}

uint64_t
tlv_uint(struct tlv_in *in, uint64_t max)
{
	uint64_t v;

	if (in->bad || (in->n != 1 && in->n != 2 && in->n != 4 && in->n != 8)) {
		in->bad = true;
		return 0;
	}
	v = load(in->value, in->n);
	if (v > max) {
		in->bad = true;
		return 0;
	}
	return v;
}

void
tlv_copy(struct tlv_in *in, void *dst, size_t n)
{
	if (in->bad || in->n != n) {
		in->bad = true;
		memset(dst, 0, n);
	} else if (n > 0) {
		memcpy(dst, in->value, n);
	}
}

void
tlv_text(struct tlv_in *in, char *dst, size_t size)
{
	if (in->bad || in->n >= size || memchr(in->value, 0, in->n) != NULL) {
		in->bad = true;
		dst[0] = '\0';
		return;
	}
	memcpy(dst, in->value, in->n);
	dst[in->n] = '\0';
}

struct tlv_in
tlv_sub(const struct tlv_in *in)
{
	return (struct tlv_in){ .at = in->value, .left = in->bad ? 0 : in->n, .bad = in->bad };
}

void
tlv_unknown(struct tlv_in *in)
{
	if ((in->type & TLV_OPTIONAL) == 0)
		in->bad = true;
}

/* Integers are the machine's own in a structure, and little-endian in a record. */
static uint64_t
member_load(const uint8_t *p, size_t size)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (size) {
	case 1:
		return *p;
	case 2:
		memcpy(&v16, p, sizeof(v16));
		return v16;
	case 4:
		memcpy(&v32, p, sizeof(v32));
		return v32;
	default:
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
}

static void
member_store(uint8_t *p, size_t size, uint64_t v)
{
	const uint16_t v16 = (uint16_t)v;
	const uint32_t v32 = (uint32_t)v;

	if (size == 1)
		*p = (uint8_t)v;
	else if (size == 2)
		memcpy(p, &v16, sizeof(v16));
	else if (size == 4)
		memcpy(p, &v32, sizeof(v32));
	else
		memcpy(p, &v, sizeof(v));
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

void
tlv_put_fields(struct tlv_out *o, const void *from, const struct tlv_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = (const uint8_t *)from + f[i].at;

		if (f[i].kind == TLV_KIND_TEXT && *p != 0)
			tlv_put(o, f[i].type, p, strnlen((const char *)p, f[i].size));
		else if (f[i].kind == TLV_KIND_BYTES && !all_zero(p, f[i].size))
			tlv_put(o, f[i].type, p, f[i].size);
		else if (f[i].kind <= TLV_KIND_BOOL && member_load(p, f[i].size) != 0)
			tlv_put_uint(o, f[i].type, member_load(p, f[i].size));
	}
}

bool
tlv_get_field(struct tlv_in *in, void *to, const struct tlv_field *f, size_t n)
{
	while (n > 0 && f->type != in->type) {
		f++;
		n--;
	}
	if (n > 0) {
		uint8_t *p = (uint8_t *)to + f->at;

		if (f->kind == TLV_KIND_TEXT)
			tlv_text(in, (char *)p, f->size);
		else if (f->kind == TLV_KIND_BYTES)
			tlv_copy(in, p, f->size);
		else
			member_store(p, f->size, tlv_uint(in, f->kind == TLV_KIND_BOOL ? 1 :
			    f->size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * f->size)) - 1));
	}
	return n > 0;
}
