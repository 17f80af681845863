/* conftext.c: a configuration file's text: comments blanked, broken places passed over */
#include "config.h"

#include "policy/conftext.h"

#include "policy/errlist.h"
#include "policy/readfile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/*
 * No configuration is longer, nor has a section more in it. A wrong path (a device, a log) must not
 * fill the memory, nor keep the thread that reloads: libconfuse compares each section with all that
 * stand beside it, and copies a long word again and again.
 */
#define FILE_MAX (1u << 20)
#define BRACES_MAX 1024
/* Deeper than any section: interfaces { address { } } and a list. */
#define DEPTH_MAX 8

/* Lines. */

/* The first byte of a line, or of nothing behind the last. */
static char *
line_at(const struct conftext *t, int line)
{
	char *s = t->text;

	for (; line > 1; line--)
		s += strcspn(s, "\n") + (strchr(s, '\n') != NULL);
	return s;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks [s, end), newlines apart. Returns whether there was anything. */
static bool
blank(char *s, const char *end)
{
	bool any = false;

	for (; s < end; s++) {
		if (*s == '\n' || *s == ' ')
			continue;
		any = any || (*s != '\t' && *s != '\r');
		*s = ' ';
	}
	return any;
}

/*
 * Behind "${NAME}", in which quotes and braces are its own; NULL where it does not end on its line.
 */
static char *
variable_end(char *s)
{
	s += strcspn(s, "}\n");
	return *s == '}' ? s + 1 : NULL;
}

static bool
is_variable(const char *s)
{
	return s[0] == '$' && s[1] == '{';
}

/* Behind the string that begins at s, or NULL where it does not end on its line. */
static char *
string_end(char *s)
{
	char quote = *s++;

	while (*s != quote) {
		if (*s == '\0' || *s == '\n')
			return NULL;
		if (*s == '\\' && s[1] != '\0' && s[1] != '\n') {
			s += 2;
		} else if (quote == '"' && is_variable(s)) {
			s = variable_end(s);
			if (s == NULL)
				return NULL;
		} else {
			s++;
		}
	}
	return s + 1;
}

/* Behind the string or the variable that begins at s, which ends on its line, or behind a byte. */
static char *
behind(char *s)
{
	char *end = NULL;

	if (*s == '"' || *s == '\'')
		end = string_end(s);
	else if (is_variable(s))
		end = variable_end(s);
	return end != NULL ? end : s + 1;
}

static void
lose(struct conftext *t, int from, int to)
{
	if (t->nlost == CONFTEXT_LOST_MAX) {
		/* Too many to tell apart: from here on everything may be among them. */
		t->lost[t->nlost - 1].from = 0;
		t->lost[t->nlost - 1].to = INT_MAX;
		return;
	}
	t->lost[t->nlost].from = from;
	t->lost[t->nlost++].to = to;
}

bool
conftext_lost(const struct conftext *t, int from, int to)
{
	for (size_t i = 0; i < t->nlost; i++)
		if (t->lost[i].from <= to && t->lost[i].to >= from)
			return true;
	return false;
}

/* Making it fit. */

/* What looks like a sign of the syntax, and is another one. */
static const struct {
	const char *bytes, *why;
} lookalikes[] = {
	{ "\xe2\x80\x9c", "a typographic quotation mark: it must be a plain \"" },
	{ "\xe2\x80\x9d", "a typographic quotation mark: it must be a plain \"" },
	{ "\xe2\x80\x9e", "a typographic quotation mark: it must be a plain \"" },
	{ "\xe2\x80\x98", "a typographic quotation mark: it must be a plain '" },
	{ "\xe2\x80\x99", "a typographic quotation mark: it must be a plain '" },
	{ "\xc2\xa0", "a no-break space: it must be a plain one" },
};

struct tidy {
	struct conftext *t;
	const char *path;
	struct errlist *e;
	char *s, *start;	/* where it stands, and where that line begins */
	int line;
	int depth, opened[DEPTH_MAX];	/* lines of the braces that are open */
	int beside[DEPTH_MAX + 1];	/* how many there are by now, in the same section */
	int depth_before;		/* that at the start of the line */
};

static void
next_line(struct tidy *y)
{
	y->start = ++y->s;
	y->line++;
	y->depth_before = y->depth;
}

static void
to_line_end(struct tidy *y)
{
	char *end = y->s + strcspn(y->s, "\n");

	blank(y->s, end);
	y->s = end;
}

static void
block_comment(struct tidy *y)
{
	char *end = strstr(y->s + 2, "*/");

	if (end == NULL) {
		errlist_add(y->e, y->path, y->line, "this comment is never closed");
		lose(y->t, y->line, INT_MAX);
		y->depth = 0;
	}
	end = end == NULL ? y->s + strlen(y->s) : end + 2;
	while (y->s < end) {
		if (*y->s == '\n') {
			next_line(y);
			continue;
		}
		*y->s++ = ' ';
	}
}

/*
 * Something is not ended on this line. Where its braces, those in what seems to be strings
 * included, are closed again the line is taken out; else nobody knows what the rest is part of.
 */
static void
unended(struct tidy *y, const char *why)
{
	size_t n = strcspn(y->start, "\n");
	int depth = 0;
	bool closed;

	errlist_add(y->e, y->path, y->line, "%s", why);
	for (size_t i = 0; i < n; i++) {
		if (y->start[i] == '{' && (i == 0 || y->start[i - 1] != '$'))
			depth++;
		else if (y->start[i] == '}' && depth-- == 0)
			break;
	}
	closed = depth == 0;
	lose(y->t, y->line, closed ? y->line : INT_MAX);
	if (!closed)
		n = strlen(y->start);
	blank(y->start, y->start + n);
	y->s = y->start + n;
	y->depth = closed ? y->depth_before : 0;
}

/* "${NAME}" at s; libconfuse would take nothing for one that is not set, and has no word on it. */
static void
check_variable(struct tidy *y, const char *s)
{
	const char *name = s + 2, *dflt;
	size_t n = strcspn(name, "}");
	char *copy = strndup(name, n);

	dflt = copy == NULL ? NULL : strstr(copy, ":-");
	if (copy != NULL && dflt == NULL && getenv(copy) == NULL) {
		errlist_add(y->e, y->path, y->line, "the environment has no variable %s: set it "
		    "where smbgate is started, or write ${%s:-DEFAULT}", copy, copy);
		lose(y->t, y->line, y->line);
	}
	free(copy);
}

/* Those in the string that stands at [s, end). */
static void
check_variables(struct tidy *y, const char *s, const char *end)
{
	if (*s != '"')
		return;
	for (s++; s < end; s++) {
		if (*s == '\\')
			s++;
		else if (is_variable(s))
			check_variable(y, s);
	}
}

static void
skip_string(struct tidy *y)
{
	char *end = string_end(y->s);

	if (end != NULL)
		check_variables(y, y->s, end);
	if (end != NULL)
		y->s = end;
	else
		unended(y,
		    "missing closing quote: a string must end on the line on which it begins");
}

static void
skip_variable(struct tidy *y)
{
	char *end = variable_end(y->s);

	if (end != NULL)
		check_variable(y, y->s);
	if (end != NULL)
		y->s = end;
	else
		unended(y, "missing closing brace: \"${\" must end on the line on which it begins");
}

static void
count_brace(struct tidy *y)
{
	if (*y->s == '{') {
		if (y->depth < DEPTH_MAX) {
			y->opened[y->depth] = y->line;
			y->beside[y->depth]++;
			y->beside[y->depth + 1] = 0;
		}
		y->depth++;
	} else if (y->depth > 0) {
		y->depth--;
	} else {
		errlist_add(y->e, y->path, y->line, "unexpected closing brace");
		lose(y->t, y->line, y->line);
		*y->s = ' ';
	}
	y->s++;
}

/* Is one more than there may be opened here? Then nothing is read from here on. */
static bool
too_many(struct tidy *y)
{
	if (*y->s != '{' || y->depth >= DEPTH_MAX || y->beside[y->depth] < BRACES_MAX)
		return false;
	errlist_add(y->e, y->path, y->line, "too many braces: no more than %d open in one section",
	    BRACES_MAX);
	lose(y->t, y->line, INT_MAX);
	blank(y->start, y->start + strlen(y->start));
	y->s = y->start + strlen(y->start);
	y->depth = 0;
	return true;
}

/* libconfuse would drop it silently. */
static void
stray(struct tidy *y)
{
	errlist_add(y->e, y->path, y->line, "unexpected \"%c\"", *y->s);
	lose(y->t, y->line, y->line);
	*y->s++ = ' ';
}

/* Is one of them here? Then it is said, once a line, and taken out. */
static bool
lookalike(struct tidy *y)
{
	for (size_t i = 0; i < sizeof(lookalikes) / sizeof(lookalikes[0]); i++) {
		size_t n = strlen(lookalikes[i].bytes);

		if (strncmp(y->s, lookalikes[i].bytes, n) != 0)
			continue;
		if (!conftext_lost(y->t, y->line, y->line)) {
			errlist_add(y->e, y->path, y->line, "%s", lookalikes[i].why);
			lose(y->t, y->line, y->line);
		}
		memset(y->s, ' ', n);
		y->s += n;
		return true;
	}
	return false;
}

static void
tidy_text(struct tidy *y)
{
	while (*y->s != '\0') {
		if (*y->s == '\n')
			next_line(y);
		else if (*y->s == '#' || (y->s[0] == '/' && y->s[1] == '/'))
			to_line_end(y);
		else if (y->s[0] == '/' && y->s[1] == '*')
			block_comment(y);
		else if (*y->s == '"' || *y->s == '\'')
			skip_string(y);
		else if (too_many(y))
			break;
		else if (*y->s == '{' || *y->s == '}')
			count_brace(y);
		else if (is_variable(y->s))
			skip_variable(y);
		else if (*y->s == '*' || (y->s[0] == '+' && y->s[1] != '='))
			stray(y);
		else if (!lookalike(y))
			y->s++;
	}
	if (y->depth > 0) {
		y->t->unclosed = y->opened[(y->depth < DEPTH_MAX ? y->depth : DEPTH_MAX) - 1];
		errlist_add(y->e, y->path, y->t->unclosed, "this opening brace is never closed");
		lose(y->t, y->t->unclosed, INT_MAX);
	}
}

int
conftext_load(struct conftext *t, const char *path, const char *given, struct errlist *e)
{
	struct tidy y = { .t = t, .path = path, .e = e, .line = 1 };
	const char *why = "out of memory";
	char *text;
	size_t end;
	int line;

	*t = (struct conftext){
		.text = given != NULL ? strdup(given) : readfile(path, FILE_MAX, &why),
	};
	if (t->text == NULL) {
		errlist_add(e, path, 0, "%s", why);
		return -1;
	}
	line = readfile_lone_cr(t->text);
	if (line != 0) {
		errlist_add(e, path, line, READFILE_LONE_CR);
		conftext_fini(t);
		return -1;
	}
	/* An error at the end then stands on a line of its own, where nothing else can. */
	end = strlen(t->text);
	t->whole = strdup(t->text);
	text = t->whole == NULL ? NULL : realloc(t->text, end + 2);
	if (text == NULL) {
		errlist_add(e, path, 0, "out of memory");
		conftext_fini(t);
		return -1;
	}
	if (end > 0 && text[end - 1] != '\n')
		memcpy(text + end, "\n", 2);
	t->text = y.s = y.start = text;
	tidy_text(&y);
	return 0;
}

void
conftext_fini(struct conftext *t)
{
	free(t->text);
	free(t->whole);
	*t = (struct conftext){ .text = NULL };
}

/* Errors of the parser. */

bool
conftext_ends(const struct conftext *t, int line)
{
	const char *s = line_at(t, line);

	return s[strspn(s, " \t\r\n")] == '\0';
}

/* The last line before this one with something on it; 0 = none. */
static int
line_before(const struct conftext *t, int line)
{
	const char *s = line_at(t, line);

	while (s > t->text && is_blank(s[-1]))
		line -= *--s == '\n';
	return s == t->text ? 0 : line;
}

/* What the parser's text has in quotes: the word that it met, or that was left unfinished. */
static bool
mentions(const char *why, const char *s)
{
	const char *from = strchr(why, '\''), *to = strrchr(why, '\'');
	size_t n = from == NULL ? 0 : (size_t)(to - from);

	return n > 1 && memmem(s, strcspn(s, "\n"), from + 1, n - 1) != NULL;
}

int
conftext_blame(const struct conftext *t, int line, const char **why_r)
{
	int before = line_before(t, line);
	const char *s = line_at(t, line), *b = line_at(t, before);
	size_t n = strcspn(b, "\n");

	if (before == 0)
		return line;
	while (n > 0 && is_blank(b[n - 1]))
		n--;
	s += strspn(s, " \t\r");
	if (b[n - 1] == '=' && *s != '{') {
		*why_r = "missing value after the equal sign";
		return before;
	}
	if (conftext_ends(t, line) || (!mentions(*why_r, s) && mentions(*why_r, b)))
		return before;
	return line;
}

bool
conftext_pass(struct conftext *t, int line)
{
	char *s = line_at(t, line), *c;
	int depth = 0, to = line;

	/* A brace that closes what began before stays, and so does one behind. */
	s += strspn(s, " \t\r}");
	for (c = s; *c != '\0'; c = behind(c)) {
		if (*c == '{')
			depth++;
		else if ((*c == '}' && depth-- == 0) ||
		    (*c == '\n' && depth == 0 && c[strspn(c, " \t\r\n")] != '{'))
			break;
		else if (*c == '\n')
			to++;
	}
	if (!blank(s, c))
		return false;
	lose(t, line, to);
	return true;
}
