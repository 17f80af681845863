/* chain1.c: walk the AndX blocks of an SMB1 message */
#include "config.h"

#include "smb/chain1.h"

#include "base/rd.h"
#include "smb/const.h"

/* The commands that may be followed by another one in the same message, [MS-CIFS] 2.2.3.4. */
static bool
is_andx(uint8_t command)
{
	switch (command) {
	case SMB1_COM_LOCKING_ANDX:
	case SMB1_COM_OPEN_ANDX:
	case SMB1_COM_READ_ANDX:
	case SMB1_COM_WRITE_ANDX:
	case SMB1_COM_SESSION_SETUP_ANDX:
	case SMB1_COM_LOGOFF_ANDX:
	case SMB1_COM_TREE_CONNECT_ANDX:
	case SMB1_COM_NT_CREATE_ANDX:
		return true;
	default:
		return false;
	}
}

bool
chain1_more(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint8_t command, words, next;

	rd_skip(&r, 4);
	command = rd_u8(&r);
	rd_seek(&r, SMB1_HDR_LEN);
	words = rd_u8(&r);
	next = rd_u8(&r);
	return rd_ok(&r) && is_andx(command) && words >= 2 && next != SMB1_NO_ANDX;
}

int
chain1_init(struct chain1 *c, const uint8_t *msg, size_t len)
{
	*c = (struct chain1){ .msg = msg, .len = len, .off = SMB1_HDR_LEN };
	if (hdr1_get(&c->hdr, msg, len) == -1)
		return -1;
	c->command = c->hdr.command;
	return 0;
}

int
chain1_next(struct chain1 *c, struct block1 *b)
{
	struct rd r = rd_init(c->msg, c->len);
	struct rd words;
	uint8_t next;
	uint16_t off;

	if (c->end)
		return 0;
	if (c->n++ == CHAIN1_MAX_BLOCKS)
		return -1;
	rd_seek(&r, c->off);
	b->command = c->command;
	b->words = rd_u8(&r);
	b->words_off = r.pos;
	words = rd_sub(&r, r.pos, 2u * b->words);
	rd_skip(&r, 2u * b->words);
	b->bytes = rd_u16(&r);
	b->bytes_off = r.pos;
	if (!rd_ok(&r))
		return -1;
	if (!is_andx(b->command) || b->words < 2) {
		c->end = true;
		return 1;
	}
	next = rd_u8(&words);
	rd_skip(&words, 1);
	off = rd_u16(&words);
	if (next == SMB1_NO_ANDX) {
		c->end = true;
		return 1;
	}
	if (off < b->bytes_off || off >= c->len)
		return -1;
	c->command = next;
	c->off = off;
	return 1;
}
