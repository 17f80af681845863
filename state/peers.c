/* peers.c: what another process in the same Redis says of itself */
#include "config.h"

#include "state/peers.h"

#include "state/names.h"
#include "state/reply.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_LEN 200

bool
peer_read(const struct redisReply *r, size_t i, uint64_t t, const char *tag, uint64_t nodes,
    struct peer *p)
{
	char text[LINE_MAX_LEN], its_tag[NAMES_TAG_LEN + 1];
	uint64_t until, its_nodes;
	size_t len;
	const char *line, *token = reply_string(r, i, &len);

	*p = (struct peer){ .age_ms = 0 };
	if (token == NULL || len != NAMES_TOKEN_LEN)
		return false;
	memcpy(p->token, token, NAMES_TOKEN_LEN);
	line = reply_string(r, i + 1, &len);
	if (line == NULL || len >= sizeof(text))
		return false;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "%15" SCNu64 " %7s %8s %16" SCNx64 " %63[^ ]", &until, p->version,
	        its_tag, &its_nodes, p->name) != 5)
		return false;
	/* It is shown to people, and anybody at Redis may have written it. */
	for (char *c = p->name; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("-._:", *c) == NULL)
			*c = '?';
	for (char *c = p->version; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c))
			*c = '?';
	p->same_secret = strcmp(its_tag, tag) == 0;
	p->same_nodes = its_nodes == nodes;
	p->age_ms = t + NAMES_LEASE_MS > until ? t + NAMES_LEASE_MS - until : 0;
	return true;
}
