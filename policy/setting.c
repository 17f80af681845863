/* setting.c: a row of a table of settings: kind, default, range, and the field that holds it */
#include "config.h"

#include "policy/setting.h"

#include "base/addr.h"
#include "policy/addrwords.h"
#include "policy/units.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const struct setting *
setting_find(const struct setting *table, const char *section, const char *name)
{
	for (const struct setting *s = table; s->section != NULL; s++)
		if (strcmp(s->section, section) == 0 && strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

const struct setting *
setting_next(const struct setting *s, const char *section)
{
	for (; s->section != NULL; s++)
		if (s->size > 0 && strcmp(s->section, section) == 0)
			return s;
	return NULL;
}

bool
setting_is_text(const struct setting *s)
{
	return s->kind == SETTING_TEXT || s->kind == SETTING_PATH;
}

bool
setting_name(const char *text)
{
	size_t n = strspn(text,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n < 64 && text[n] == '\0';
}

/* Text to value. */

static int
parse_bool(uint64_t *dst, const char *text)
{
	static const char *const yes[] = { "true", "yes", "on" },
	                         *const no[] = { "false", "no", "off" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*dst = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -1;
}

/* [MS-SMB2] 2.2.3 has a dialect's number in hexadecimal digits: "3.0.2" is 0x0302. */
static uint64_t
dialect(const char *word)
{
	uint64_t v = (uint64_t)(word[0] - '0') << 8 | (uint64_t)(word[2] - '0') << 4;

	return word[3] == '.' ? v | (uint64_t)(word[4] - '0') : v;
}

/* What the i-th word stands for. */
static uint64_t
word_value(const struct setting *s, unsigned i)
{
	return s->kind == SETTING_DIALECT ? dialect(s->words[i]) : i;
}

static int
parse_word(const struct setting *s, uint64_t *dst, const char *text)
{
	for (unsigned i = 0; s->words[i] != NULL; i++) {
		if (strcmp(text, s->words[i]) == 0) {
			*dst = word_value(s, i);
			return 0;
		}
	}
	/* "false", "true" and more: a BOOL that has grown keeps its other words. */
	if (s->words[0] == NULL || strcmp(s->words[0], "false") != 0)
		return -1;
	return parse_bool(dst, text);
}

int
setting_parse(const struct setting *s, uint64_t *dst, const char *text)
{
	struct addrport ap;
	struct prefix p;

	*dst = 0;
	switch (s->kind) {
	case SETTING_TEXT:
	case SETTING_PATH:
		return *text == '\0' ? -1 : 0;
	case SETTING_NAME:
		return setting_name(text) ? 0 : -1;
	case SETTING_NUMBER:
		return units_number(dst, text);
	case SETTING_DURATION:
		return units_duration(dst, text);
	case SETTING_SECONDS:
		return units_duration(dst, text) == -1 || *dst % 1000 != 0 ? -1 : 0;
	case SETTING_SPEED:
	case SETTING_SIZE:
		return units_speed(dst, text);
	case SETTING_BOOL:
		return parse_bool(dst, text);
	case SETTING_WORD:
	case SETTING_DIALECT:
		return parse_word(s, dst, text);
	case SETTING_ADDR:
		return addr_parse(&ap.addr, text);
	case SETTING_ADDRPORT:
		return addrport_parse(&ap, text, 445);
	case SETTING_PREFIX:
		return prefix_parse(&p, text);
	}
	return -1;
}

/* Value to text. */

const char *
setting_str(const struct setting *s, uint64_t value, char dst[SETTING_STRLEN])
{
	_Static_assert(SETTING_STRLEN >= UNITS_STRLEN, "room for every unit");
	switch (s->kind) {
	case SETTING_DURATION:
	case SETTING_SECONDS:
		return units_duration_str(value, dst);
	case SETTING_SPEED:
	case SETTING_SIZE:
		return units_speed_str(value, dst);
	case SETTING_BOOL:
		return value != 0 ? "true" : "false";
	case SETTING_WORD:
	case SETTING_DIALECT:
		for (unsigned i = 0; s->words[i] != NULL; i++)
			if (word_value(s, i) == value)
				return s->words[i];
		return "?";
	default:
		snprintf(dst, SETTING_STRLEN, "%llu", (unsigned long long)value);
		return dst;
	}
}

bool
setting_is_quoted(const struct setting *s)
{
	return s->kind == SETTING_DURATION || s->kind == SETTING_SECONDS ||
	    s->kind == SETTING_SPEED || s->kind == SETTING_SIZE || setting_is_text(s);
}

const char *
setting_key(const struct setting *s, char dst[64])
{
	bool ms = s->kind == SETTING_DURATION || s->kind == SETTING_SECONDS;

	snprintf(dst, 64, "%s%s", s->name, ms ? "_ms" : "");
	for (char *c = dst; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	return dst;
}

/* Complaints. */

static const char *
kind_str(const struct setting *s, char *dst, size_t n)
{
	static const char *const text[] = {
		[SETTING_NAME] = "a name of 1 to 63 letters, digits, '.', '_' or '-'",
		[SETTING_NUMBER] = "a number",
		[SETTING_DURATION] = "a time with its unit, such as \"500ms\", \"30s\" or \"15m\"",
		[SETTING_SECONDS] = "a time in whole seconds with its unit, such as \"30s\"",
		[SETTING_SPEED] = "a speed in bits per second, such as \"25G\"",
		[SETTING_SIZE] = "a size in bytes, such as \"32M\"",
		[SETTING_BOOL] = "true or false",
		[SETTING_ADDR] = "an IPv4 or IPv6 address",
		[SETTING_ADDRPORT] = "ADDRESS or ADDRESS:PORT (with a port, IPv6 needs brackets)",
		[SETTING_PREFIX] = "an address, or ADDRESS/LENGTH without host bits",
	};
	size_t used = 0;

	if (s->kind != SETTING_WORD && s->kind != SETTING_DIALECT)
		return text[s->kind];
	for (int i = 0; s->words[i] != NULL && used < n; i++)
		used += (size_t)snprintf(dst + used, n - used, "%s%s",
		    i == 0 ? "" : s->words[i + 1] == NULL ? " or " : ", ", s->words[i]);
	return dst;
}

/* Of an address, if its fault is known; NULL: it is none, or not known. */
static const char *
own_words(const struct setting *s, const char *text, char *dst, size_t n)
{
	if (s->kind != SETTING_ADDR && s->kind != SETTING_ADDRPORT && s->kind != SETTING_PREFIX)
		return NULL;
	return addrwords(s->kind == SETTING_ADDR ? ADDRWORDS_ADDR
	        : s->kind == SETTING_ADDRPORT    ? ADDRWORDS_ADDRPORT
	                                         : ADDRWORDS_PREFIX, text, dst, n);
}

static bool
has_range(const struct setting *s)
{
	return s->kind == SETTING_NUMBER || s->kind == SETTING_DURATION ||
	    s->kind == SETTING_SECONDS || s->kind == SETTING_SPEED || s->kind == SETTING_SIZE;
}

bool
setting_complaint(const struct setting *s, const char *text, char *dst, size_t n)
{
	char kind[256], min[SETTING_STRLEN], max[SETTING_STRLEN];
	uint64_t v;

	if (setting_parse(s, &v, text) == -1) {
		if (setting_is_text(s))
			snprintf(dst, n, "%s: the value is empty", s->name);
		else if (has_range(s))
			snprintf(dst, n, "%s: \"%s\" is not %s (%s to %s)", s->name, text,
			    kind_str(s, kind, sizeof(kind)), setting_str(s, s->min, min),
			    setting_str(s, s->max, max));
		else if (own_words(s, text, kind, sizeof(kind)) != NULL)
			snprintf(dst, n, "%s: \"%s\" is not an address: %s", s->name, text,
			    own_words(s, text, kind, sizeof(kind)));
		else
			snprintf(dst, n, "%s: \"%s\" is not %s", s->name, text,
			    kind_str(s, kind, sizeof(kind)));
		return true;
	}
	if (has_range(s) && (v < s->min || v > s->max)) {
		snprintf(dst, n, "%s: %s is out of range (%s to %s)", s->name, text,
		    setting_str(s, s->min, min), setting_str(s, s->max, max));
		return true;
	}
	return false;
}

/* Fields. */

uint64_t
setting_get(const struct setting *s, const void *base)
{
	const unsigned char *p = (const unsigned char *)base + s->offset;
	union {
		uint8_t b;
		uint16_t h;
		uint32_t w;
		uint64_t q;
	} u = { .q = 0 };

	memcpy(&u, p, s->size);
	return s->size == sizeof(u.b) ? u.b : s->size == sizeof(u.h) ? u.h :
	    s->size == sizeof(u.w) ? u.w : u.q;
}

void
setting_put(const struct setting *s, void *base, uint64_t value)
{
	union {
		uint8_t b;
		uint16_t h;
		uint32_t w;
		uint64_t q;
	} u;

	switch (s->size) {
	case sizeof(u.b):
		u.b = (uint8_t)value;
		break;
	case sizeof(u.h):
		u.h = (uint16_t)value;
		break;
	case sizeof(u.w):
		u.w = (uint32_t)value;
		break;
	default:
		u.q = value;
		break;
	}
	memcpy((unsigned char *)base + s->offset, &u, s->size);
}

void
setting_defaults(const struct setting *table, const char *section, void *base)
{
	for (const struct setting *s = table; (s = setting_next(s, section)) != NULL; s++) {
		uint64_t v = 0;
		int bad = 0;

		if (setting_is_text(s))
			continue;
		if (s->dflt != NULL)
			bad = setting_parse(s, &v, s->dflt);
		assert(bad == 0 && "a default in the table that is not of its kind");
		(void)bad;
		setting_put(s, base, v);
	}
}

char **
setting_text(const struct setting *s, void *base)
{
	return (char **)(void *)((unsigned char *)base + s->offset);
}
