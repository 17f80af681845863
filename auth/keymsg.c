/* keymsg.c: the messages between smbgate, its guard and smbgate-keyd */
#include "config.h"

#include "auth/keymsg.h"

#include "auth/nokey.h"
#include "base/rd.h"
#include "base/wr.h"

/*
 * On the wire: type (1 byte), mutual or cause (1), length of the key or token (4), length of the
 * text (2), id (8), then the one and the other.
 */
static const struct {
	const char *name;
	bool request;
	size_t data_min, data_max;
	size_t text_max;
} types[KEYMSG_TYPES] = {
	[KEYMSG_HELLO] = { "HELLO", false, 0, 0, 0 },
	[KEYMSG_AP_REQ] = { "AP_REQ", true, 1, KEYMSG_TOKEN_MAX, 0 },
	[KEYMSG_AP_REP] = { "AP_REP", true, 1, KEYMSG_TOKEN_MAX, 0 },
	[KEYMSG_NTLM_CHALLENGE] = { "NTLM_CHALLENGE", true, 1, KEYMSG_TOKEN_MAX, 0 },
	[KEYMSG_NTLM_AUTH] = { "NTLM_AUTH", true, 1, KEYMSG_TOKEN_MAX, 0 },
	[KEYMSG_FORGET] = { "FORGET", true, 0, 0, 0 },
	[KEYMSG_KEY] = { "KEY", false, 0, KEYMSG_KEY_MAX, KEYMSG_TEXT_MAX },
	[KEYMSG_FAIL] = { "FAIL", false, 0, 0, KEYMSG_TEXT_MAX },
};

static bool
known(enum keymsg_type type)
{
	return (unsigned)type < KEYMSG_TYPES && types[type].name != NULL;
}

static bool
keymsg_possible(const struct keymsg *m)
{
	return known(m->type) && m->len >= types[m->type].data_min &&
	    m->len <= types[m->type].data_max && m->text_len <= types[m->type].text_max &&
	    (m->type == KEYMSG_KEY ? m->mutual || m->len > 0 : !m->mutual) &&
	    m->cause < (m->type == KEYMSG_FAIL ? NOKEY_CAUSES : 1);
}

size_t
keymsg_put(uint8_t *dst, size_t cap, const struct keymsg *m)
{
	struct wr w = wr_init(dst, cap);

	if (!keymsg_possible(m))
		return 0;
	wr_u8(&w, (uint8_t)m->type);
	wr_u8(&w, m->type == KEYMSG_FAIL ? m->cause : m->mutual);
	wr_u32(&w, (uint32_t)m->len);
	wr_u16(&w, (uint16_t)m->text_len);
	wr_u64(&w, m->id);
	if (m->len > 0)
		wr_bytes(&w, m->data, m->len);
	if (m->text_len > 0)
		wr_bytes(&w, m->text, m->text_len);
	return wr_ok(&w) ? wr_len(&w) : 0;
}

int
keymsg_get(struct keymsg *m, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint8_t mutual;		/* or the cause */

	*m = (struct keymsg){ .type = (enum keymsg_type)rd_u8(&r) };
	mutual = rd_u8(&r);
	if (m->type == KEYMSG_FAIL) {
		m->cause = mutual;
		mutual = 0;
	}
	m->mutual = mutual == 1;
	m->len = rd_u32(&r);
	m->text_len = rd_u16(&r);
	m->id = rd_u64(&r);
	m->data = rd_bytes(&r, m->len);
	m->text = (const char *)rd_bytes(&r, m->text_len);
	return rd_ok(&r) && rd_left(&r) == 0 && mutual <= 1 && keymsg_possible(m) ? 0 : -1;
}

bool
keymsg_is_request(enum keymsg_type type)
{
	return known(type) && types[type].request;
}

const char *
keymsg_name(enum keymsg_type type)
{
	return known(type) ? types[type].name : "of no known type";
}
