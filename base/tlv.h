/* tlv.h: records of typed values (type, length, value); the reader's errors are sticky */
#ifndef BASE_TLV_H
#define BASE_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Little-endian: type of 2 bytes, length of 4, so many bytes; a value may be a run of such values
 * itself. A reader that meets a type that it does not know refuses the record, unless the type says
 * that it may be passed over.
 */
#define TLV_HEAD 6
#define TLV_OPTIONAL 0x8000

/*
 * A record as it is written; all zero: empty. What it holds may be secret: whatever it lets go of,
 * as it grows and at the end, is wiped. When memory is out it is bad, and stays so.
 */
struct tlv_out {
	uint8_t *data;
	size_t len, cap;
	bool bad;
};

void tlv_put(struct tlv_out *o, uint16_t type, const void *value, size_t n);
/* In 1, 2, 4 or 8 bytes, as few as hold it. */
void tlv_put_uint(struct tlv_out *o, uint16_t type, uint64_t v);
/* Without its NUL; NULL: nothing is written at all. */
void tlv_put_text(struct tlv_out *o, uint16_t type, const char *text);
/* A value that holds others: what is put before tlv_end(o, what tlv_begin returned) is in it. */
size_t tlv_begin(struct tlv_out *o, uint16_t type);
void tlv_end(struct tlv_out *o, size_t at);
/* Wipes and frees; it is empty again, and no longer bad. */
void tlv_out_fini(struct tlv_out *o);

/*
 * Reads one value after the other. The range is borrowed. Where anything does not fit, it is bad
 * from then on, tlv_next() is false, and every getter gives 0.
 */
struct tlv_in {
	const uint8_t *at;
	size_t left;
	const uint8_t *value;	/* of the value where it stands */
	size_t n;
	uint16_t type;
	bool bad;
};

struct tlv_in tlv_in(const void *data, size_t len);
/* How many bytes of it are whole values: of the rest, more is to come. */
size_t tlv_whole(const void *data, size_t len);
/* To the next one; false at the end, and when bad. */
bool tlv_next(struct tlv_in *in);
/* Bad if it has not 1, 2, 4 or 8 bytes, or is more than max. */
uint64_t tlv_uint(struct tlv_in *in, uint64_t max);
/* Bad if it has not exactly n bytes; dst is all zero then. */
void tlv_copy(struct tlv_in *in, void *dst, size_t n);
/* NUL-terminated; bad if it does not fit, or has a NUL in it. */
void tlv_text(struct tlv_in *in, char *dst, size_t size);
/* A reader of what is in the value. Its errors are its own: the caller hands them on. */
struct tlv_in tlv_sub(const struct tlv_in *in);
/* The type is none that the caller knows. */
void tlv_unknown(struct tlv_in *in);

/*
 * A structure as a table, one row a member, so that what is written and what is read cannot differ.
 * A member that is 0, or "", is not written: the reader begins with a structure of zeros.
 */
enum tlv_kind { TLV_KIND_UINT, TLV_KIND_BOOL, TLV_KIND_BYTES, TLV_KIND_TEXT };

struct tlv_field {
	uint16_t type;
	uint8_t kind;		/* enum tlv_kind */
	size_t at, size;
};

#define TLV_AT(s, member) offsetof(struct s, member), sizeof(((struct s *)0)->member)
/* Of 1, 2, 4 or 8 bytes. */
#define TLV_UINT(type, s, member)                        \
	{                                                \
		(type), TLV_KIND_UINT, TLV_AT(s, member) \
	}
#define TLV_BOOL(type, s, member)                        \
	{                                                \
		(type), TLV_KIND_BOOL, TLV_AT(s, member) \
	}
#define TLV_BYTES(type, s, member)                        \
	{                                                 \
		(type), TLV_KIND_BYTES, TLV_AT(s, member) \
	}
/* An array with a NUL in it. */
#define TLV_TEXT(type, s, member)                        \
	{                                                \
		(type), TLV_KIND_TEXT, TLV_AT(s, member) \
	}

void tlv_put_fields(struct tlv_out *o, const void *from, const struct tlv_field *f, size_t n);
/* The value is that of one of the fields, and is there now; or it is bad. False: of none. */
bool tlv_get_field(struct tlv_in *in, void *to, const struct tlv_field *f, size_t n);

#endif
