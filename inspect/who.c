/* who.c: pure: a client, a connection, a session or a user, as people name them */
#include "config.h"

#include "inspect/who.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONN_WORD "conn:"

/* The value of a hexadecimal digit, or -1. */
static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* All of text, which has digits of that base alone and is no more than 64 bits. */
static bool
whole_number(uint64_t *v, const char *text, unsigned base)
{
	*v = 0;
	if (text[0] == '\0')
		return false;
	for (; *text != '\0'; text++) {
		int d = hex_value(*text);

		if (d < 0 || (unsigned)d >= base || *v > (UINT64_MAX - (unsigned)d) / base)
			return false;
		*v = *v * base + (unsigned)d;
	}
	return true;
}

/* [MS-DTYP] 2.3.4.3: the first three fields are little-endian. */
static bool
guid_of(struct guid *g, const char *text)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	size_t n = 0;

	if (strlen(text) != GUID_STRLEN - 1)
		return false;
	for (size_t i = 0; i < GUID_STRLEN - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		int hi, lo;

		if (dash != (text[i] == '-'))
			return false;
		if (dash)
			continue;
		hi = hex_value(text[i]);
		lo = hex_value(text[++i]);
		if (hi < 0 || lo < 0)
			return false;
		g->b[order[n++]] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static bool
is_hex_word(const char *text)
{
	return text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && text[2] != '\0' &&
	    text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
}

/* Has it a slash behind an address? Names of services have one, too. */
static bool
is_like_prefix(const char *text)
{
	const char *slash = strchr(text, '/');
	char part[ADDR_STRLEN];
	struct addr a;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(part))
		return false;
	snprintf(part, sizeof(part), "%.*s", (int)(slash - text), text);
	return addr_parse(&a, part) == 0;
}

/* NULL: it may be a user's name. */
static const char *
why_no_name(const char *text)
{
	if (is_hex_word(text))
		return "a session's id is no more than 16 hexadecimal digits";
	if (is_like_prefix(text))
		return "that is no prefix: its length is wrong, or bits behind it are set";
	/* [MS-SAMR] 3.1.1.6: no name of an account has one. */
	if (strchr(text, ':') != NULL)
		return "that is no address, nor one with a port";
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return "no name has such a character";
	return NULL;
}

int
who_parse(struct who *w, const char *text, const char **why)
{
	const size_t word = strlen(CONN_WORD);

	*w = (struct who){ .kind = WHO_NAME };
	if (text == NULL || text[0] == '\0' || strlen(text) >= sizeof(w->text)) {
		*why = text == NULL || text[0] == '\0' ? "nobody is named" : "no name is that long";
		return -1;
	}
	snprintf(w->text, sizeof(w->text), "%s", text);
	*why = NULL;
	if (strncmp(text, CONN_WORD, word) == 0) {
		w->kind = WHO_CONN;
		if (!whole_number(&w->number, text + word, 10))
			*why = "conn: is followed by the number of a connection";
	} else if (guid_of(&w->guid, text)) {
		w->kind = WHO_GUID;
	} else if (prefix_parse(&w->prefix, text) == 0) {
		w->kind = WHO_PREFIX;
	} else if (addrport_parse(&w->end, text, 0) == 0) {
		w->kind = WHO_END;
	} else if (whole_number(&w->number, is_hex_word(text) ? text + 2 : text, 16)) {
		w->kind = WHO_SESSION;
		w->bare = !is_hex_word(text);
	} else {
		*why = why_no_name(text);
	}
	return *why == NULL ? 0 : -1;
}

bool
who_is_one(const struct who *w)
{
	return w->kind == WHO_CONN || w->kind == WHO_END;
}

bool
who_is_client(const struct who *w, const struct addrport *client, const struct guid *guid)
{
	switch (w->kind) {
	case WHO_PREFIX:
		return prefix_match(&w->prefix, &client->addr);
	case WHO_END:
		return addr_equal(&w->end.addr, &client->addr) && w->end.port == client->port;
	case WHO_GUID:
		return guid != NULL && guid_equal(&w->guid, guid);
	case WHO_CONN:
	case WHO_SESSION:
	case WHO_NAME:
		break;
	}
	return false;
}

bool
who_is_conn(const struct who *w, uint64_t conn_id)
{
	return w->kind == WHO_CONN && w->number == conn_id;
}

bool
who_is_session(const struct who *w, uint64_t session_id)
{
	return w->kind == WHO_SESSION && w->number == session_id;
}

bool
who_has_logged_on(const struct who *w)
{
	return w->kind == WHO_SESSION || w->kind == WHO_NAME;
}

static bool
may_be_user(const struct who *w, const char *user)
{
	return (w->kind == WHO_NAME || w->bare) && user != NULL && user[0] != '\0';
}

bool
who_is_user(const struct who *w, const char *user)
{
	const char *bare, *realm;
	size_t n;

	if (!may_be_user(w, user))
		return false;
	if (strcasecmp(user, w->text) == 0)
		return true;
	/* A backslash before an @ is how Kerberos writes an @ of the name. */
	bare = strchr(user, '\\');
	if (bare != NULL && bare[1] != '@')
		return strcasecmp(bare + 1, w->text) == 0;
	realm = strrchr(user, '@');
	n = realm == NULL ? 0 : (size_t)(realm - user);
	return n > 0 && strlen(w->text) == n && strncasecmp(user, w->text, n) == 0;
}

bool
who_is_like_user(const struct who *w, const char *user)
{
	return who_is_user(w, user) ||
	    (may_be_user(w, user) && strcasestr(user, w->text) != NULL);
}
