/* raw1.c: what SMB1 sends without its header: bytes in raw mode, and encrypted messages */
#include "config.h"

#include "smb/raw1.h"

#include "base/rd.h"
#include "smb/chain1.h"
#include "smb/const.h"

/* The forms of a NEGOTIATE response: NT LM 0.12, [MS-CIFS] 2.2.4.52.2, and LANMAN 1.0 to 2.1. */
#define NT_WORDS 17
#define LANMAN_WORDS 13

/* From the first word on: Capabilities, whose bit 0 is CAP_RAW_MODE, and RawMode. */
#define NT_CAPABILITIES 19
#define CAP_RAW_MODE 0x01
#define LANMAN_RAW_MODE 10

/* TRANSACTION2, [MS-CIFS] 2.2.4.46.1: ParameterOffset and Setup[0], from the first word on. */
#define TRANS2_WORDS 15
#define TRANS2_PARAMETER_OFFSET 20
#define TRANS2_SETUP 28
/* [MS-CIFS] 2.2.6.5, and the level of information by which Samba's encryption begins. */
#define TRANS2_SET_FS_INFORMATION 0x0004
#define LEVEL_ENCRYPTION 0x0203

/* The byte with the flags, and which of its bits. */
static size_t
raw_flags(const struct block1 *b, uint8_t *bits)
{
	*bits = b->words == NT_WORDS ? CAP_RAW_MODE : b->words == LANMAN_WORDS ? 0xff : 0;
	return b->words_off + (b->words == NT_WORDS ? NT_CAPABILITIES : LANMAN_RAW_MODE);
}

bool
raw1_offered(const uint8_t *msg, const struct block1 *b)
{
	uint8_t bits;
	size_t at = raw_flags(b, &bits);

	return bits != 0 && (msg[at] & bits) != 0;
}

void
raw1_withdraw(uint8_t *msg, const struct block1 *b)
{
	uint8_t bits;
	size_t at = raw_flags(b, &bits);

	if (bits != 0)
		msg[at] &= (uint8_t)~bits;
}

bool
raw1_may_ask(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint8_t command;

	rd_skip(&r, 4);
	command = rd_u8(&r);
	rd_seek(&r, SMB1_HDR_LEN + 1 + TRANS2_SETUP);
	return command == SMB1_COM_READ_RAW || command == SMB1_COM_WRITE_RAW ||
	    (command == SMB1_COM_TRANSACTION2 && rd_u16(&r) == TRANS2_SET_FS_INFORMATION);
}

/* The level of information in the parameters, behind a FID. */
static size_t
asks_encryption(const uint8_t *msg, size_t len, const struct block1 *b)
{
	struct rd r = rd_init(msg, len);
	size_t at;

	if (b->words < TRANS2_WORDS)
		return 0;
	rd_seek(&r, b->words_off + TRANS2_SETUP);
	if (rd_u16(&r) != TRANS2_SET_FS_INFORMATION)
		return 0;
	rd_seek(&r, b->words_off + TRANS2_PARAMETER_OFFSET);
	at = (size_t)rd_u16(&r) + 2;
	rd_seek(&r, at);
	return rd_u16(&r) == LEVEL_ENCRYPTION && rd_ok(&r) && at >= b->bytes_off ? at : 0;
}

size_t
raw1_asked(const uint8_t *msg, size_t len, const struct block1 *b)
{
	switch (b->command) {
	case SMB1_COM_READ_RAW:
	case SMB1_COM_WRITE_RAW:
		/* Fid is the first word of both. */
		return b->words > 0 ? b->words_off : 0;
	case SMB1_COM_TRANSACTION2:
		return asks_encryption(msg, len, b);
	default:
		return 0;
	}
}

void
raw1_refuse(uint8_t *msg, size_t at)
{
	msg[at] = msg[at + 1] = 0xff;
}
