/* conffile.c: what both configuration files share: parsing with every error collected, values with units, paths */
#include "config.h"

#include "policy/conffile.h"

#include "base/addr.h"
#include "policy/errlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No configuration is longer; a wrong path (a device, a log) must not fill the memory. */
#define FILE_MAX (4u << 20)
/* Parses of one file: each goes past one more error of syntax. */
#define PARSES_MAX 20

/*
 * libconfuse hands its callbacks no argument, so what they need stands here while it parses. It is
 * one thread's and dead outside conffile_parse().
 */
struct parsing {
	const char *path;
	const struct setting *settings;
	struct errlist *values;		/* wrong values of this parse */
	int line;			/* of the error of syntax that ended it; 0 = none */
	char why[256];
};

static _Thread_local struct parsing *parsing;

/* Values. */

static int
number(uint64_t *dst, const char *text, const char **end)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return -1;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*dst = v;
	*end = p;
	return p == text ? -1 : 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
scale(uint64_t *dst, uint64_t v, const char *name, const struct unit *units)
{
	for (; units->name != NULL; units++) {
		if (strcmp(units->name, name) != 0)
			continue;
		if (units->factor != 0 && v > UINT64_MAX / units->factor)
			return -1;
		*dst = v * units->factor;
		return 0;
	}
	return -1;
}

int
conffile_duration(uint64_t *dst_ms, const char *text)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
	const char *end;
	uint64_t v;

	if (number(&v, text, &end) == -1)
		return -1;
	/* A bare number is a guess between seconds and milliseconds; of nothing there is one kind. */
	if (*end == '\0' && v == 0) {
		*dst_ms = 0;
		return 0;
	}
	return scale(dst_ms, v, end, units);
}

int
conffile_speed(uint64_t *dst, const char *text)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1000 }, { "M", 1000000 },
		{ "G", 1000000000 }, { "T", 1000000000000 }, { NULL, 0 } };
	const char *end;
	uint64_t v, tenths = 0;

	if (number(&v, text, &end) == -1)
		return -1;
	if (*end == '.') {
		/* "2.5G": one digit is all that network cards have. */
		if (end[1] < '0' || end[1] > '9' || end[2] == '\0')
			return -1;
		tenths = (uint64_t)(end[1] - '0');
		end += 2;
	}
	if (v > UINT64_MAX / 10 - 1 || scale(dst, v * 10 + tenths, end, units) == -1)
		return -1;
	*dst /= 10;
	return 0;
}

bool
conffile_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n < 64 && text[n] == '\0';
}

static int
boolean(uint64_t *dst, const char *text)
{
	static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no", "off" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*dst = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -1;
}

static int
word(uint64_t *dst, const char *text, const char *const *words)
{
	for (uint64_t i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0) {
			*dst = i;
			return 0;
		}
	}
	return -1;
}

/* The value as a number; -1 where the text is none of that kind. Addresses give 0. */
static int
value(uint64_t *dst, const struct setting *s, const char *text)
{
	struct addrport ap;
	struct prefix p;
	const char *end;

	*dst = 0;
	switch (s->kind) {
	case SETTING_TEXT:
		return *text == '\0' ? -1 : 0;
	case SETTING_NUMBER:
		return number(dst, text, &end) == -1 || *end != '\0' ? -1 : 0;
	case SETTING_DURATION:
		return conffile_duration(dst, text);
	case SETTING_SPEED:
		return conffile_speed(dst, text);
	case SETTING_BOOL:
		return boolean(dst, text);
	case SETTING_WORD:
		return word(dst, text, s->words);
	case SETTING_ADDR:
		return addr_parse(&ap.addr, text);
	case SETTING_ADDRPORT:
		return addrport_parse(&ap, text, 445);
	case SETTING_PREFIX:
		return prefix_parse(&p, text);
	}
	return -1;
}

static void
expected(const struct setting *s, char *dst, size_t n)
{
	static const char *const text[] = {
		[SETTING_TEXT] = "a text",
		[SETTING_NUMBER] = "a number",
		[SETTING_DURATION] = "a time with its unit, like \"500ms\", \"30s\" or \"15m\"",
		[SETTING_SPEED] = "a speed in bits per second, like \"25G\"",
		[SETTING_BOOL] = "true or false",
		[SETTING_ADDR] = "an IPv4 or IPv6 address",
		[SETTING_ADDRPORT] = "ADDRESS:PORT, an IPv6 address in brackets",
		[SETTING_PREFIX] = "an address or ADDRESS/LENGTH without host bits",
	};
	size_t used = 0;

	if (s->kind != SETTING_WORD) {
		snprintf(dst, n, "%s", text[s->kind]);
		return;
	}
	for (int i = 0; s->words[i] != NULL && used < n; i++)
		used += (size_t)snprintf(dst + used, n - used, "%s%s", i == 0 ? "" : " | ", s->words[i]);
}

static bool
has_range(const struct setting *s)
{
	return s->kind == SETTING_NUMBER || s->kind == SETTING_DURATION || s->kind == SETTING_SPEED;
}

static const struct setting *
find(const struct setting *s, const char *section, const char *name)
{
	for (; s->section != NULL; s++)
		if (strcmp(s->section, section) == 0 && strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

int
conffile_check(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct setting *s = find(parsing->settings, cfg->name, opt->name);
	char what[256];
	uint64_t v;

	if (s != NULL && value(&v, s, text) == -1) {
		expected(s, what, sizeof(what));
		errlist_add(parsing->values, parsing->path, cfg->line, "%s: \"%s\" is not %s", opt->name,
		    text, what);
	} else if (s != NULL && has_range(s) && (v < s->min || v > s->max)) {
		errlist_add(parsing->values, parsing->path, cfg->line,
		    s->kind == SETTING_DURATION ? "%s: %s is not within %llu..%llu ms"
		                                : "%s: %s is not within %llu..%llu",
		    opt->name, text, (unsigned long long)s->min, (unsigned long long)s->max);
	}
	*(const char **)result = text;
	return 0;
}

uint64_t
conffile_uint(cfg_t *sec, const char *name, const struct setting *settings, uint64_t dflt)
{
	const struct setting *s = find(settings, sec->name, name);
	const char *text = cfg_getstr(sec, name);
	uint64_t v;

	return text == NULL || s == NULL || value(&v, s, text) == -1 ? dflt : v;
}

/* Files. */

char *
conffile_absolute(const char *path)
{
	char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0), *joined;

	if (cwd == NULL)
		return strdup(path);
	if (asprintf(&joined, "%s/%s", cwd, path) == -1)
		joined = NULL;
	free(cwd);
	return joined;
}

char *
conffile_path(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	char *joined;

	if (path[0] == '/' || slash == NULL)
		return strdup(path);
	if (asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) == -1)
		return NULL;
	return joined;
}

static char *
slurp(int fd, size_t max, const char **why_r)
{
	struct stat st;
	size_t n = 0;
	char *text;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		*why_r = "not a regular file";
		return NULL;
	}
	if (st.st_size < 0 || (uint64_t)st.st_size > max) {
		*why_r = "too long";
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL) {
		*why_r = "out of memory";
		return NULL;
	}
	while (n < (size_t)st.st_size) {
		ssize_t r = read(fd, text + n, (size_t)st.st_size - n);

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	text[n] = '\0';
	if (strlen(text) != n) {
		*why_r = "has a zero byte";
		free(text);
		return NULL;
	}
	return text;
}

char *
conffile_read(const char *path, size_t max, const char **why_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text;

	if (fd == -1) {
		*why_r = strerror(errno);
		return NULL;
	}
	text = slurp(fd, max, why_r);
	close(fd);
	return text;
}

static void __attribute__((format(printf, 2, 0)))
syntax_cb(cfg_t *cfg, const char *fmt, va_list ap)
{
	/* The first one is the cause. */
	if (parsing->line != 0)
		return;
	parsing->line = cfg->line;
	vsnprintf(parsing->why, sizeof(parsing->why), fmt, ap);
}

/*
 * Blanks a line, so that the next parse goes past it. Not one with a brace or quote: what comes
 * behind it would be read as something else, and every error said from there on would be wrong.
 */
static bool
blank_line(char *text, int line)
{
	size_t n;

	for (int i = 1; i < line; i++) {
		text = strchr(text, '\n');
		if (text == NULL)
			return false;
		text++;
	}
	n = strcspn(text, "\n");
	if (strspn(text, " \t\r") >= n || strcspn(text, "{}/'") < n)
		return false;
	memset(text, ' ', n);
	return true;
}

/* What libconfuse lets pass: a comment or a section that has not ended when the file has. */
struct unended {
	int comment, section;	/* the line where it begins; 0 = none */
};

/* Deeper than any section lies. */
#define DEPTH_MAX 16

/* Makes spaces of a comment that begins at text; returns where it ends. */
static char *
blank_comment(char *text, int *line, struct unended *u)
{
	bool block = text[0] == '/' && text[1] == '*';
	const char *end = block ? strstr(text + 2, "*/") : text + strcspn(text, "\n");

	if (end == NULL) {
		u->comment = *line;
		end = text + strlen(text);
	} else if (block) {
		end += 2;
	}
	for (; text < end; text++) {
		if (*text == '\n')
			(*line)++;
		else
			*text = ' ';
	}
	return text;
}

/*
 * Makes spaces of all comments, whose lines libconfuse counts more than once, and finds what has no
 * end: half a file, as an editor or a copy leaves it for a moment, must not pass for a whole one.
 */
static struct unended
prepare(char *text)
{
	struct unended u = { .comment = 0 };
	int begun[DEPTH_MAX], depth = 0, line = 1;
	char quote = '\0';

	while (*text != '\0') {
		if (quote == '\0' && (*text == '#' || (text[0] == '/' && strchr("/*", text[1]) != NULL &&
		        text[1] != '\0'))) {
			text = blank_comment(text, &line, &u);
			continue;
		}
		if (*text == '\n')
			line++;
		if (quote != '\0' && *text == '\\' && text[1] != '\0' && text[1] != '\n')
			text++;
		else if (quote != '\0' && *text == quote)
			quote = '\0';
		else if (quote == '\0' && (*text == '"' || *text == '\''))
			quote = *text;
		else if (quote == '\0' && *text == '{' && depth++ < DEPTH_MAX)
			begun[depth - 1] = line;
		else if (quote == '\0' && *text == '}' && depth > 0)
			depth--;
		text++;
	}
	if (depth > 0)
		u.section = begun[depth <= DEPTH_MAX ? depth - 1 : DEPTH_MAX - 1];
	return u;
}

cfg_t *
conffile_parse(const char *path, cfg_opt_t *opts, const struct setting *settings, struct errlist *e)
{
	struct parsing p = { .path = path, .settings = settings };
	struct errlist values = { .n = 0 };
	size_t first = e->n;
	const char *why;
	char *text = conffile_read(path, FILE_MAX, &why);
	cfg_t *cfg = NULL;
	struct unended u;

	if (text == NULL) {
		errlist_add(e, path, 0, "%s", why);
		return NULL;
	}
	u = prepare(text);
	if (u.comment != 0)
		errlist_add(e, path, u.comment, "a comment that never ends");
	if (u.section != 0)
		errlist_add(e, path, u.section, "a brace that is never closed");
	parsing = &p;
	p.values = &values;
	for (int i = 0; i < PARSES_MAX; i++) {
		if (cfg != NULL)
			cfg_free(cfg);
		errlist_fini(&values);
		p.line = 0;
		cfg = cfg_init(opts, CFGF_NONE);
		cfg_set_error_function(cfg, syntax_cb);
		if (cfg_parse_buf(cfg, text) == CFG_SUCCESS)
			break;
		errlist_add(e, path, p.line, "%s", p.line != 0 ? p.why : "cannot be parsed");
		if (!blank_line(text, p.line))
			break;
	}
	parsing = NULL;
	errlist_take(e, &values);
	errlist_sort(e, first);
	free(text);
	return cfg;
}
