/* program.c: another program's output */
#include "config.h"

#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* No list of rules is longer. */
#define PROGRAM_TEXT (16u << 20)
#define PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* In the child. */
static void __attribute__((noreturn))
become(const char *const *argv, int out, int err)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char *args[PROGRAM_ARGS + 1] = { NULL };

	/* Nobody writes there, but execvp() does not say so. */
	for (size_t i = 0; i < PROGRAM_ARGS && argv[i] != NULL; i++)
		memcpy(&args[i], &argv[i], sizeof(args[i]));
	if (argv[0] == NULL || null == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    dup2(out, STDOUT_FILENO) == -1 || dup2(err, STDERR_FILENO) == -1)
		_exit(127);
	/* Users may have no sbin in theirs. */
	setenv("PATH", PATH, 1);
	setenv("LC_ALL", "C", 1);
	execvp(argv[0], args);
	dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(127);
}

/* The first line of what it complained about. */
static void
read_complaint(FILE *f, char why[PROGRAM_WHY])
{
	rewind(f);
	if (fgets(why, PROGRAM_WHY, f) == NULL)
		snprintf(why, PROGRAM_WHY, "it failed");
	why[strcspn(why, "\n")] = '\0';
}

/* All that it writes, up to PROGRAM_TEXT bytes; takes over out. */
static char *
read_text(int out, char why[PROGRAM_WHY])
{
	FILE *f = fdopen(out, "r");
	char *text = calloc(1, PROGRAM_TEXT);

	if (f == NULL || text == NULL) {
		snprintf(why, PROGRAM_WHY, "%s", strerror(errno));
		free(text);
		text = NULL;
	} else {
		text[fread(text, 1, PROGRAM_TEXT - 1, f)] = '\0';
	}
	if (f != NULL)
		fclose(f);
	else
		close(out);
	return text;
}

/* out is read to its end; takes over it. */
static char *
finish(pid_t pid, int out, FILE *err, char why[PROGRAM_WHY])
{
	char *text = read_text(out, why);
	int status;

	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		read_complaint(err, why);
		free(text);
		text = NULL;
	}
	return text;
}

char *
program_text(const char *const *argv, char why[PROGRAM_WHY])
{
	FILE *err = tmpfile();
	char *text = NULL;
	int fds[2] = { -1, -1 };
	pid_t pid = -1;

	if (err != NULL && pipe2(fds, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become(argv, fds[1], fileno(err));
	if (pid == -1)
		snprintf(why, PROGRAM_WHY, "%s", strerror(errno));
	if (fds[1] != -1)
		close(fds[1]);
	if (pid > 0)
		text = finish(pid, fds[0], err, why);
	else if (fds[0] != -1)
		close(fds[0]);
	if (err != NULL)
		fclose(err);
	return text;
}

json_t *
program_json(const char *const *argv, char why[PROGRAM_WHY])
{
	char *text = program_text(argv, why);
	json_error_t bad;
	json_t *answer = text == NULL ? NULL : json_loads(text, 0, &bad);

	if (text != NULL && answer == NULL)
		snprintf(why, PROGRAM_WHY, "its output is not JSON: %s", bad.text);
	free(text);
	return answer;
}
