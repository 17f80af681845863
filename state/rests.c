/* rests.c: pure: what proxies tell each other of whom they have on drained nodes */
#include "config.h"

#include "state/rests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* " ORDER:CONNECTIONS:CLIENTS:CUT", the first of 16 hex digits, the others decimal */
#define ORDER_DIGITS 16
#define ITEM_MAX (1 + ORDER_DIGITS + 3 * 11 + 1)
#define NUMBER_DIGITS 10

/* The first error is the last: nothing is read behind it. */
struct scan {
	const char *at, *end;
	bool bad;
};

void
rests_add(struct rests *r, const struct rest *x)
{
	char item[ITEM_MAX];
	int n = snprintf(item, sizeof(item), " %016" PRIx64 ":%" PRIu32 ":%" PRIu32 ":%" PRIu32,
	    x->order, x->connections, x->clients, x->cut);

	if (n < 0 || (size_t)n >= sizeof(r->text) - r->len)
		return;
	memcpy(r->text + r->len, item, (size_t)n + 1);
	r->len += (size_t)n;
}

size_t
rests_line(const struct rests *r, uint64_t age_ms, char dst[RESTS_LINE])
{
	/* Longer ago than that is as bad. */
	const uint64_t age = age_ms < UINT32_MAX ? age_ms : UINT32_MAX;
	int n = snprintf(dst, RESTS_LINE, "%" PRIu64 "%s", age, r->text);

	return n < 0 ? 0 : (size_t)n;
}

static void
scan_char(struct scan *s, char c)
{
	if (s->bad || s->at == s->end || *s->at != c)
		s->bad = true;
	else
		s->at++;
}

static uint64_t
scan_number(struct scan *s)
{
	uint64_t v = 0;
	int n = 0;

	for (; !s->bad && s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
		if (++n <= NUMBER_DIGITS)
			v = v * 10 + (uint64_t)(*s->at - '0');
	s->bad |= n == 0 || n > NUMBER_DIGITS || v > UINT32_MAX;
	return s->bad ? 0 : v;
}

static uint64_t
scan_order(struct scan *s)
{
	uint64_t v = 0;
	int n = 0;

	for (; !s->bad && n < ORDER_DIGITS && s->at < s->end; n++, s->at++) {
		const char c = *s->at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	s->bad |= n != ORDER_DIGITS;
	return v;
}

static void
scan_item(struct scan *s, struct rest *x)
{
	scan_char(s, ' ');
	x->order = scan_order(s);
	scan_char(s, ':');
	x->connections = (uint32_t)scan_number(s);
	scan_char(s, ':');
	x->clients = (uint32_t)scan_number(s);
	scan_char(s, ':');
	x->cut = (uint32_t)scan_number(s);
	/* What a later version may say besides; it is text. */
	if (!s->bad && s->at < s->end && *s->at == ':')
		for (; s->at < s->end && *s->at != ' '; s->at++)
			s->bad |= *s->at == '\0';
}

void
rests_read(struct rests_said *said, const char *line, size_t len)
{
	struct scan s = { .at = line, .end = line == NULL ? NULL : line + len };
	struct rest x;

	said->says = line == NULL || len == 0 ? REST_NEVER : REST_NOT_YET;
	said->age_ms = UINT32_MAX;
	said->rests.len = 0;
	said->rests.text[0] = '\0';
	if (said->says == REST_NEVER || len >= RESTS_LINE)
		return;
	said->age_ms = scan_number(&s);
	line = s.at;
	while (!s.bad && s.at < s.end)
		scan_item(&s, &x);
	len = (size_t)(s.end - line);
	if (s.bad || len >= sizeof(said->rests.text))
		return;
	said->says = REST_SAID;
	said->rests.len = len;
	memcpy(said->rests.text, line, len);
	said->rests.text[len] = '\0';
}

enum rest_says
rests_find(const struct rests_said *said, uint64_t order, struct rest *x)
{
	struct scan s = { .at = said->rests.text, .end = said->rests.text + said->rests.len };
	enum rest_says found = REST_NOT_YET;
	char begin[1 + ORDER_DIGITS + 2];
	struct rest item;

	*x = (struct rest){ .order = order };
	if (said->says != REST_SAID)
		return said->says;
	snprintf(begin, sizeof(begin), " %016" PRIx64 ":", order);
	while ((s.at = memmem(s.at, (size_t)(s.end - s.at), begin, sizeof(begin) - 1)) != NULL) {
		scan_item(&s, &item);
		/* Nobody says a thing twice: the worse one counts. */
		if (found == REST_NOT_YET || item.connections > x->connections)
			*x = item;
		found = REST_SAID;
	}
	return found;
}
