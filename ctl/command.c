/* command.c: the commands of smbgatectl, and which options go with them */
#include "config.h"

#include "ctl/command.h"

#include "ctl/check.h"
#include "ctl/loglevel.h"
#include "ctl/operate.h"
#include "ctl/rows.h"
#include "ctl/show.h"
#include "ctl/watch.h"
#include "policy/nearest.h"

#include <ctype.h>
#include <string.h>

static const struct command commands[] = {
#define COMMAND(...) { __VA_ARGS__ },
#include "ctl/commands.tbl.h"
#undef COMMAND
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Nothing is called that; word: which command's object is meant, NULL: the command itself. */
static void __attribute__((noreturn))
unknown_word(const struct options *o, const char *typed, const char *word)
{
	const char *words[NCOMMANDS];
	char list[256];
	bool near;

	for (size_t i = 0; i < NCOMMANDS; i++)
		words[i] = word == NULL                    ? commands[i].word
		    : strcmp(commands[i].word, word) == 0 ? commands[i].what
		                                          : NULL;
	near = nearest(list, sizeof(list), typed, words, NCOMMANDS);
	usage_error(o, "unknown %s \"%s\"; %s %s",
	    word == NULL ? "command" : "object of show", typed,
	    near ? "you may have meant" : "it is one of", list);
}

/* "nodes, clients and stats": the objects of a command that has some. */
static void __attribute__((noreturn))
missing_object(const struct options *o, const char *word)
{
	const struct command *last = NULL;
	char list[512];
	size_t len = 0;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->word, word) != 0 || c->help == NULL)
			continue;
		if (last != NULL && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
			    len == 0 ? "" : ", ", last->what);
		last = c;
	}
	usage_error(o, "%s needs one of %s and %s", word, list, last == NULL ? "" : last->what);
}

/* The command of a word and, if it has one, its object. */
static const struct command *
command_named(const struct options *o, int n, char **words)
{
	const struct command *c = NULL;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (strcmp(words[0], commands[i].word) != 0)
			continue;
		c = &commands[i];
		if (c->what == NULL || n < 2 || strcmp(words[1], c->what) == 0)
			break;
	}
	if (c == NULL)
		unknown_word(o, words[0], NULL);
	if (c->what != NULL && n < 2)
		missing_object(o, c->word);
	if (c->what != NULL && strcmp(words[1], c->what) != 0)
		unknown_word(o, words[1], c->word);
	return c;
}

const struct command *
command_find(const struct options *o, int n, char **words, char ***args)
{
	const struct command *c = command_named(o, n, words);
	const int named = 1 + (c->what != NULL);
	const int most = (c->arg != NULL) + (c->arg2 != NULL);

	if (most > 0 && c->needs[0] != '[' && n - named < most)
		usage_error(o, "%s needs %s", c->word, c->needs);
	if (n - named > most)
		usage_error(o, "unexpected argument \"%s\"", words[named + most]);
	*args = words + named;
	return c;
}

/* Is that a word of the list, each of which stands behind a space? */
static bool
is_listed(const char *list, const char *name)
{
	const size_t len = strlen(name);

	for (const char *p = strchr(list, ' '); p != NULL; p = strchr(p + 1, ' '))
		if (strncmp(p + 1, name, len) == 0 && (p[1 + len] == ' ' || p[1 + len] == '\0'))
			return true;
	return false;
}

/* "show stats, drain": the commands that an option goes with. */
static void __attribute__((noreturn))
misplaced(const struct options *o, enum option_id id)
{
	char list[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		const struct command *c = &commands[i];

		if (is_listed(c->options, option_name(id)) && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s%s%s",
			    len == 0 ? "" : ", ", c->word, c->what != NULL ? " " : "",
			    c->what != NULL ? c->what : "");
	}
	usage_error(o, "--%s goes with %s", option_name(id), list);
}

void
command_match(const struct command *c, const struct options *o)
{
	for (enum option_id id = 0; id < NOPTIONS; id++)
		if (option_given(o, id) && !option_is_common(id) &&
		    !is_listed(c->options, option_name(id)))
			misplaced(o, id);
}

/* As usage calls an argument: its key in capitals, and [] where it may be left out. */
static int
print_argument(const char *key, bool optional, FILE *out)
{
	int n = fprintf(out, " %s", optional ? "[" : "");

	for (; *key != '\0'; key++, n++)
		fputc(toupper((unsigned char)*key), out);
	return n + fprintf(out, "%s", optional ? "]" : "");
}

void
commands_help(FILE *out)
{
	for (size_t i = 0; i < NCOMMANDS; i++) {
		const struct command *c = &commands[i];
		const char *line = c->help;
		int n;

		if (line == NULL)
			continue;
		n = fprintf(out, "  %s%s%s", c->word, c->what != NULL ? " " : "",
		    c->what != NULL ? c->what : "");
		if (c->arg != NULL)
			n += print_argument(c->arg, c->needs[0] == '[', out);
		if (c->arg2 != NULL)
			n += print_argument(c->arg2, false, out);
		for (; line != NULL; n = 0) {
			const size_t len = strcspn(line, "\n");

			fprintf(out, "%*s%.*s\n", n < 21 ? 22 - n : 1, "", (int)len, line);
			line = line[len] == '\n' ? line + len + 1 : NULL;
		}
	}
}
