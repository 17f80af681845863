/* command.h: the commands of smbgatectl, and which options go with them */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "ctl/options.h"

/* commands.tbl.h says what each is. */
struct command {
	const char *word, *what, *sent, *arg, *arg2, *needs;
	void (*show)(const json_t *answer, bool all, FILE *out);
	const char *options, *help;
};

/*
 * The one of these n > 0 words; *args: those of them that are its arguments. Ends the program where
 * there is no such command, or too much or too little behind it.
 */
const struct command *command_find(const struct options *o, int n, char **words, char ***args);

/* Ends the program where an option is another command's. */
void command_match(const struct command *c, const struct options *o);

/* A line or more for each, as usage has them. */
void commands_help(FILE *out);

#endif
