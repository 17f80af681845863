/* reader.c: a second reader of frames, in smbd's manner; no code of inspect/ or smb/ */
#include "config.h"

#include "t/fuzz/reader.h"

#include <string.h>

#define HEADER 64
#define TRANSFORM 52

uint16_t
reader_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t
reader_u32(const uint8_t *p)
{
	return reader_u16(p) | (uint32_t)reader_u16(p + 2) << 16;
}

uint64_t
reader_u64(const uint8_t *p)
{
	return reader_u32(p) | (uint64_t)reader_u32(p + 4) << 32;
}

static void
fields(struct read_msg *m, uint8_t *p, size_t n, uint64_t sealed_by)
{
	m->p = p;
	m->n = n;
	m->sealed_by = sealed_by;
	m->status = reader_u32(p + 8);
	m->command = reader_u16(p + 12);
	m->flags = reader_u32(p + 16);
	m->next = reader_u32(p + 20);
	m->mid = reader_u64(p + 24);
	m->sid = reader_u64(p + 40);
}

/*
 * One message after another, wherever NextCommand says that it begins; a TRANSFORM header may stand
 * where a message may, and what stands behind the OriginalMessageSize bytes that it speaks of is
 * read on. Nothing is dispatched before the whole frame has been taken apart.
 */
int
reader_frame(uint8_t *frame, size_t len, reader_open_fn open, void *arg, struct read_msg *m,
    int max)
{
	size_t at = 0, sealed_end = 0;
	uint64_t sealed_by = 0;
	int n = 0;

	while (at < len) {
		size_t left = sealed_end > at ? sealed_end - at : len - at, whole;
		uint8_t *p = frame + at;
		uint32_t next;

		if (sealed_end <= at)
			sealed_by = 0;
		if (left >= TRANSFORM && memcmp(p, "\xfdSMB", 4) == 0) {
			uint32_t size = reader_u32(p + 36);

			if (size > left - TRANSFORM)
				return -1;
			sealed_by = reader_u64(p + 44);
			if (open(arg, sealed_by, p, TRANSFORM + (size_t)size) == -1)
				return -1;
			at += TRANSFORM;
			p = frame + at;
			sealed_end = at + size;
			left = size;
		}
		if (left < HEADER + 2 || memcmp(p, "\xfeSMB", 4) != 0 || reader_u16(p + 4) != 64 ||
		    reader_u16(p + HEADER) < 2)
			return -1;
		next = reader_u32(p + 20);
		whole = next == 0 ? left : next;
		if (whole < HEADER + 2 || whole > left || n == max)
			return -1;
		fields(&m[n++], p, whole, sealed_by);
		at += whole;
	}
	return n;
}

bool
reader_is_bind(const struct read_msg *m)
{
	return m->command == 1 && (m->flags & 1) == 0 && m->n >= HEADER + 24 &&
	    reader_u16(m->p + HEADER) == 25 && (m->p[HEADER + 2] & 1) != 0;
}

uint32_t
reader_ctl_code(const struct read_msg *m)
{
	return m->command == 11 && m->n >= HEADER + 8 ? reader_u32(m->p + HEADER + 4) : 0;
}

bool
reader_names(const struct read_msg *m, const uint8_t addr[4])
{
	uint32_t off, n;

	if (m->command != 11 || m->n < HEADER + 48 || reader_u16(m->p + HEADER) != 49)
		return false;
	off = reader_u32(m->p + HEADER + 32);
	n = reader_u32(m->p + HEADER + 36);
	if (off > m->n || n > m->n - off)
		return false;
	/* Entries of 152 bytes: Family at 24, and the address 4 behind it. */
	for (; n >= 152; off += 152, n -= 152)
		if (reader_u16(m->p + off + 24) == 2 && memcmp(m->p + off + 28, addr, 4) == 0)
			return true;
	return false;
}
