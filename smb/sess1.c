/* sess1.c: SMB1 SESSION_SETUP_ANDX request and response */
#include "config.h"

#include "smb/sess1.h"

#include "base/rd.h"
#include "smb/chain1.h"
#include "smb/const.h"

#include <string.h>

/* Words in front of the lengths, which differ: VcNumber is one of them, SessionKey two. */
#define VC_WORD 4
#define LENGTHS_WORD 7
/* Of a response, behind the AndX words. */
#define ACTION_WORD 2

/* A string up to its NUL, or to the end: clients forget the last one. */
static const uint8_t *
sess1_string(struct rd *r, const uint8_t *msg, bool unicode, size_t *len)
{
	const uint8_t *p;
	size_t left, n = 0, unit = unicode ? 2 : 1;

	/* [MS-CIFS] 2.2.1.1.2: on an even offset from the header. */
	if (unicode && (r->base + r->pos - msg) % 2 != 0)
		rd_skip(r, 1);
	left = rd_left(r);
	p = rd_bytes(r, left);
	if (p == NULL || left < unit)
		return NULL;
	while (n + unit <= left && (p[n] != 0 || (unicode && p[n + 1] != 0)))
		n += unit;
	rd_seek(r, n + unit <= left ? r->len - left + n + unit : r->len);
	*len = n;
	return p;
}

static void
sess1_names(struct sess1_req *s, const struct chain1 *c, struct rd *bytes, size_t passwords)
{
	rd_skip(bytes, passwords);
	s->account = sess1_string(bytes, c->msg, s->unicode, &s->account_len);
	if (s->account != NULL)
		s->domain = sess1_string(bytes, c->msg, s->unicode, &s->domain_len);
}

int
sess1_req_get(struct sess1_req *s, const struct chain1 *c, const struct block1 *b)
{
	struct rd r = rd_init(c->msg, c->len), words = rd_sub(&r, b->words_off, 2u * b->words);
	struct rd bytes = rd_sub(&r, b->bytes_off, b->bytes);
	uint16_t first, second;

	*s = (struct sess1_req){ .unicode = (c->hdr.flags2 & SMB1_FLAGS2_UNICODE) != 0 };
	s->vc_off = b->words_off + 2 * VC_WORD;
	rd_skip(&words, 2 * VC_WORD);
	s->vc_number = rd_u16(&words);
	if (!rd_ok(&words))
		return -1;
	rd_seek(&words, 2 * LENGTHS_WORD);
	first = rd_u16(&words);
	second = rd_u16(&words);
	if (!rd_ok(&words) || !rd_ok(&bytes))
		return 0;
	switch (b->words) {
	case 12:
		s->blob_len = first;
		s->blob = rd_bytes(&bytes, first);
		break;
	case 13:
		s->lm_len = first;
		s->nt_len = second;
		sess1_names(s, c, &bytes, (size_t)first + second);
		break;
	case 10:
		s->lm_len = first;
		sess1_names(s, c, &bytes, first);
		break;
	default:
		break;
	}
	return 0;
}

void
sess1_vc_put(uint8_t *msg, const struct sess1_req *s, uint16_t vc_number)
{
	msg[s->vc_off] = (uint8_t)vc_number;
	msg[s->vc_off + 1] = (uint8_t)(vc_number >> 8);
}

bool
sess1_resp_guest(const struct chain1 *c, const struct block1 *b)
{
	struct rd r = rd_init(c->msg, c->len), words = rd_sub(&r, b->words_off, 2u * b->words);

	rd_skip(&words, 2 * ACTION_WORD);
	return (rd_u16(&words) & 1) != 0 && rd_ok(&words);
}

const uint8_t *
sess1_resp_blob(const struct chain1 *c, const struct block1 *b, size_t *len)
{
	struct rd r = rd_init(c->msg, c->len), words = rd_sub(&r, b->words_off, 2u * b->words);
	struct rd bytes = rd_sub(&r, b->bytes_off, b->bytes);

	if (b->words != 4)
		return NULL;
	rd_skip(&words, 2 * 3);
	*len = rd_u16(&words);
	return rd_ok(&words) ? rd_bytes(&bytes, *len) : NULL;
}
