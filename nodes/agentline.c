/* agentline.c: pure: what a node's agent says, in the words of HAProxy's agent-check */
#include "config.h"

#include "nodes/agentline.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define PERCENT_MAX 1000

static const struct {
	const char *text;
	enum agent_word word;
} words[] = {
	{ "up", AGENT_UP },
	{ "ready", AGENT_UP },
	{ "drain", AGENT_DRAIN },
	{ "maint", AGENT_MAINT },
	{ "stopped", AGENT_STOPPED },
	{ "down", AGENT_DOWN },
	{ "fail", AGENT_DOWN },
	{ "failed", AGENT_DOWN },
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* "75%" */
static int
read_percent(unsigned *dst, const char *s, size_t len)
{
	unsigned n = 0;

	if (len < 2 || s[len - 1] != '%')
		return -1;
	for (size_t i = 0; i < len - 1; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		n = n * 10 + (unsigned)(s[i] - '0');
		if (n > PERCENT_MAX)
			return -1;
	}
	*dst = n;
	return 0;
}

static int
read_word(struct agent_says *says, const char *s, size_t len)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].text) != len || strncasecmp(words[i].text, s, len) != 0)
			continue;
		if (says->word < words[i].word)
			says->word = words[i].word;
		return 0;
	}
	return read_percent(&says->percent, s, len);
}

/* It is shown and logged: nothing in it may be more than a letter. */
static void
keep_why(struct agent_says *says, const char *s, size_t len)
{
	size_t n = 0;

	while (len > 0 && is_blank(*s)) {
		s++;
		len--;
	}
	for (; n < len && n < sizeof(says->why) - 1; n++) {
		const char c = s[n];

		says->why[n] = c;
		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			says->why[n] = '?';
	}
	says->why[n] = '\0';
}

int
agentline_read(struct agent_says *says, const char *line, size_t len)
{
	bool any = false;
	size_t n;

	*says = (struct agent_says){ .percent = 100 };
	while (len > 0 && *line != '#') {
		for (n = 0; n < len && !is_blank(line[n]) && line[n] != '#'; n++)
			;
		if (n > 0 && read_word(says, line, n) == -1)
			return -1;
		any |= n > 0;
		n += n < len && line[n] != '#';
		line += n;
		len -= n;
	}
	if (len > 0)
		keep_why(says, line + 1, len - 1);
	/* No weight at all: nobody new. */
	if (says->percent == 0 && says->word < AGENT_DRAIN)
		says->word = AGENT_DRAIN;
	return any ? 0 : -1;
}

const char *
agent_word_str(enum agent_word w)
{
	static const char *const text[AGENT_WORDS] = { [AGENT_NONE] = "nothing",
		[AGENT_UP] = "up", [AGENT_DRAIN] = "drain", [AGENT_MAINT] = "maint",
		[AGENT_STOPPED] = "stopped", [AGENT_DOWN] = "down" };

	return text[w];
}
