/* options.c: the options on smbgatectl's command line */
#include "config.h"

#include "ctl/options.h"

#include "ctl/failure.h"
#include "policy/units.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_TIME, /* in ms */
};

static const struct row {
	char letter;
	const char *name;
	enum option_kind kind;
	const char *key, *value, *help;
} rows[NOPTIONS] = {
#define OPTION(id, letter, name, kind, key, value, help)                                          \
	[OPT_##id] = { letter, name, OPTION_##kind, key, value, help },
#include "ctl/options.tbl.h"
#undef OPTION
};

/* What getopt_long() gives for the first of rows[] that was written out; no letter is that high. */
#define LONG 256

void
usage_error(const struct options *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "smbgatectl: %s\nsmbgatectl: see smbgatectl --help\n", text);
	if (option_given(o, OPT_JSON))
		failure_print(failure("%s", text), true);
	exit(EXIT_USAGE);
}

const char *
option_name(enum option_id id)
{
	return rows[id].name;
}

bool
option_is_common(enum option_id id)
{
	static const enum option_id common[] = { OPT_SOCKET, OPT_CONFIG, OPT_JSON, OPT_ALL,
		OPT_VERSION, OPT_HELP };

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (common[i] == id)
			return true;
	return false;
}

/* The rows as getopt_long() wants them; n is that of an option in rows[]. */
static void
options_table(struct option longs[NOPTIONS + 1], char letters[2 * NOPTIONS + 1])
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct row *r = &rows[i];

		longs[i] = (struct option){ r->name,
			r->value != NULL ? required_argument : no_argument, NULL, LONG + (int)i };
		if (r->letter != 0)
			*letters++ = r->letter;
		if (r->letter != 0 && r->value != NULL)
			*letters++ = ':';
	}
	longs[NOPTIONS] = (struct option){ .name = NULL };
	*letters = '\0';
}

void
options_read(struct options *o, int argc, char **argv)
{
	struct option longs[NOPTIONS + 1];
	char letters[2 * NOPTIONS + 1];
	int c;

	options_table(longs, letters);
	/* What is wrong before it is JSON as well. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0)
			o->value[OPT_JSON] = "";
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		/* getopt_long() has said what is wrong. */
		if (c == '?')
			usage_error(o, "an option is wrong: %s", argv[optind - 1]);
		for (size_t i = 0; i < NOPTIONS; i++)
			if (c == LONG + (int)i || c == rows[i].letter)
				o->value[i] = optarg != NULL ? optarg : "";
		if (c == LONG + OPT_NAME && o->nnames == OPTIONS_NAMES_MAX)
			usage_error(o, "--name is given more than %d times", OPTIONS_NAMES_MAX);
		if (c == LONG + OPT_NAME)
			o->names[o->nnames++] = optarg;
	}
	if (option_given(o, OPT_SOCKET) && option_given(o, OPT_CONFIG))
		usage_error(o, "-s and -c exclude each other");
}

static json_t *
option_json(const struct options *o, enum option_kind kind, const char *text)
{
	uint64_t ms;

	switch (kind) {
	case OPTION_FLAG:
		return json_true();
	case OPTION_TIME:
		if (units_duration(&ms, text) == -1 || ms > INT64_MAX)
			usage_error(o, "\"%s\" is not a time, such as 30s or 10m", text);
		return json_integer((json_int_t)ms);
	case OPTION_TEXT:
		break;
	}
	return json_string(text);
}

void
options_request(const struct options *o, json_t *request)
{
	for (size_t i = 0; i < NOPTIONS; i++)
		if (rows[i].key != NULL && o->value[i] != NULL &&
		    json_object_set_new(request, rows[i].key,
		        option_json(o, rows[i].kind, o->value[i])) == -1)
			usage_error(o, "the value of --%s is not UTF-8 text", rows[i].name);
}

void
options_help(FILE *out)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct row *r = &rows[i];
		int n = 6;

		if (r->letter != 0)
			fprintf(out, "  -%c, ", r->letter);
		else
			fputs("      ", out);
		n += fprintf(out, "--%s%s%s", r->name, r->value != NULL ? " " : "",
		    r->value != NULL ? r->value : "");
		fprintf(out, "%*s%s\n", n < 21 ? 22 - n : 1, "", r->help);
	}
}
