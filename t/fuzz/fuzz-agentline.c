/* fuzz-agentline.c: libFuzzer target: an agent's line, against its words taken one by one */
/* for: nodes/agentline.c */
#include "config.h"

#include "nodes/agentline.h"
#include "t/unit/lib/holds.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
rank(const char *word)
{
	static const char *const of[][4] = { { "up", "ready" }, { "drain" }, { "maint" },
		{ "stopped" }, { "down", "fail", "failed" } };

	for (int r = 0; r < 5; r++)
		for (int i = 0; i < 4 && of[r][i] != NULL; i++)
			if (strcasecmp(of[r][i], word) == 0)
				return r + 1;
	return 0;
}

/* HAProxy's rule, as agentline.h tells it. -1: it is no answer. */
static int
slowly(char *line, unsigned *percent)
{
	char *word, *rest = line, *end;
	int worst = 0, words = 0;
	unsigned long n;

	*percent = 100;
	while ((word = strsep(&rest, " \t,")) != NULL) {
		if (*word == '\0')
			continue;
		words++;
		if (rank(word) > 0) {
			worst = rank(word) > worst ? rank(word) : worst;
			continue;
		}
		if (strspn(word, "0123456789") == 0)
			return -1;
		n = strtoul(word, &end, 10);
		if (strcmp(end, "%") != 0 || n > 1000)
			return -1;
		*percent = (unsigned)n;
	}
	if (words == 0)
		return -1;
	return *percent == 0 && worst < 2 ? 2 : worst;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_says says;
	const uint8_t *hash = size == 0 ? NULL : memchr(data, '#', size);
	size_t n = hash == NULL ? size : (size_t)(hash - data);
	char *line;
	unsigned percent;
	int word, rc;

	rc = agentline_read(&says, (const char *)data, size);
	HOLDS(memchr(says.why, 0, sizeof(says.why)) != NULL);
	for (const char *c = says.why; *c != '\0'; c++)
		HOLDS(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
	if (n > 0 && memchr(data, 0, n) != NULL) {
		HOLDS(rc == -1);
		return 0;
	}
	line = strndup((const char *)data, n);
	HOLDS(line != NULL);
	word = slowly(line, &percent);
	HOLDS((rc == -1) == (word == -1));
	if (rc == 0)
		HOLDS((int)says.word == word && says.percent == percent &&
		    (word == 0 || rank(agent_word_str(says.word)) == word));
	free(line);
	return 0;
}
