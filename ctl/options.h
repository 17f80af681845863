/* options.h: the options on smbgatectl's command line */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#define DEFAULT_SOCKET "/run/smbgate/control.sock"
#define DEFAULT_CONF "/etc/smbgate/smbgate.conf"
#define EXIT_USAGE 2
#define OPTIONS_NAMES_MAX 64

enum option_id {
#define OPTION(id, letter, name, kind, key, value, help) OPT_##id,
#include "ctl/options.tbl.h"
#undef OPTION
	NOPTIONS,
};

/* What was typed; it belongs to main(). */
struct options {
	const char *value[NOPTIONS]; /* NULL: it was not given; of a flag, any other */
	const char *names[OPTIONS_NAMES_MAX];	/* of --name, which may be given again */
	size_t nnames;
};

static inline bool
option_given(const struct options *o, enum option_id id)
{
	return o->value[id] != NULL;
}

/* "socket" of OPT_SOCKET. */
const char *option_name(enum option_id id);

/* What goes with every command. */
bool option_is_common(enum option_id id);

/* The words that are left are at argv[optind]. Ends the program where an option is wrong. */
void options_read(struct options *o, int argc, char **argv);

/* Those that smbgate is to know, as keys of a request. Ends the program where a value is wrong. */
void options_request(const struct options *o, json_t *request);

/* A line for each, as usage has them. */
void options_help(FILE *out);

/*
 * What is wrong with the command line, to people, and as JSON if that was asked for; ends the
 * program with EXIT_USAGE.
 */
void usage_error(const struct options *o, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif
