/* conffile.c: what both configuration files share: all errors collected, values, paths */
#include "config.h"

#include "policy/conffile.h"

#include "policy/errlist.h"
#include "policy/nearest.h"
#include "policy/setting.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Parses of one file: each goes past one more error of syntax. */
#define PARSES_MAX ERRLIST_MAX
/* Values of one file, so that looking one up takes no noticeable time. */
#define VALUES_MAX 16384

/*
 * libconfuse hands its callbacks no argument, so what they need stands here while it parses. It is
 * one thread's and dead outside conffile_parse().
 */
struct parsing {
	struct conffile *f;
	const struct errlist *reported;	/* errors of the text itself: nothing more of those lines */
	struct errlist values;		/* wrong values of this parse */
	int line;			/* of the error of syntax that ended it; 0 = none */
	char why[256];
};

static _Thread_local struct parsing *parsing;

/* Options. */

/* Where the first value of an option stands; 0 = it has none. */
static int
first_line(const struct conffile *f, const cfg_opt_t *opt)
{
	for (size_t i = 0; i < f->nvalues; i++)
		if (f->values[i].opt == opt)
			return f->values[i].line;
	return 0;
}

/* Remembers where a value stands. The option already has room for it: it is the last. */
static void
note_value(struct conffile *f, const cfg_opt_t *opt, int line)
{
	int first = opt->nvalues == 1 ? first_line(f, opt) : 0;

	if (first != 0)
		errlist_add(&parsing->values, f->path, line, "%s is already set on line %d",
		    opt->name, first);
	if (f->nvalues == VALUES_MAX) {
		if (!f->full)
			errlist_add(&parsing->values, f->path, line,
			    "too many values: at most %d are allowed", VALUES_MAX);
		f->full = true;
		return;
	}
	if (f->nvalues % 64 == 0) {
		struct conffile_value *v = reallocarray(f->values, f->nvalues + 64, sizeof(*v));

		if (v == NULL) {
			errlist_add(&parsing->values, f->path, line, "out of memory");
			return;
		}
		f->values = v;
	}
	f->values[f->nvalues++] = (struct conffile_value){ opt, opt->nvalues - 1, line };
}

static bool
was_reported(const struct errlist *e, int line)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->line[i] == line)
			return true;
	return false;
}

static int
check_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct conffile *f = parsing->f;
	const struct setting *s = setting_find(f->settings, cfg->name, opt->name);
	char why[512];

	note_value(f, opt, cfg->line);
	if (was_reported(parsing->reported, cfg->line))
		;
	else if (s == NULL)
		/* libconfuse takes "section|option" for a path; that is not in our table. */
		errlist_add(&parsing->values, f->path, cfg->line, "no such option '%s' here",
		    opt->name);
	else if (setting_complaint(s, text, why, sizeof(why)))
		errlist_add(&parsing->values, f->path, cfg->line, "%s", why);
	*(const char **)result = text;
	return 0;
}

void
conffile_section(struct conffile_section *sec, const struct setting *settings, const char *name,
    const cfg_opt_t *inner)
{
	cfg_opt_t *o = sec->opts, *end = sec->opts + CONFFILE_OPTIONS_MAX - 1;

	sec->none[0] = (cfg_opt_t)CFG_END();
	if (strcmp(name, "root") != 0)
		*o++ = (cfg_opt_t)CFG_SEC(CONFFILE_BEGIN, sec->none, CFGF_NONE);
	for (const struct setting *s = settings; s->section != NULL; s++) {
		if (strcmp(s->section, name) != 0)
			continue;
		assert(o < end);
		if (s->list)
			*o++ = (cfg_opt_t)CFG_STR_LIST_CB(s->name, NULL, CFGF_NODEFAULT,
			    check_value);
		else
			*o++ = (cfg_opt_t)CFG_STR_CB(s->name, NULL, CFGF_NODEFAULT, check_value);
	}
	for (; inner != NULL && inner->name != NULL; inner++) {
		assert(o < end);
		*o++ = *inner;
	}
	*o = (cfg_opt_t)CFG_END();
}

uint64_t
conffile_value(cfg_t *sec, const struct setting *s)
{
	const char *text = cfg_getstr(sec, s->name);
	uint64_t v;

	if (text != NULL && setting_parse(s, &v, text) == 0)
		return v;
	return s->dflt == NULL || setting_parse(s, &v, s->dflt) == -1 ? 0 : v;
}

static int
fill_text(char **dst, const struct setting *s, const char *text, const char *file)
{
	if (text == NULL || *text == '\0')
		text = s->dflt;
	if (text == NULL)
		return 0;
	*dst = s->kind == SETTING_PATH ? conffile_path(file, text) : strdup(text);
	return *dst == NULL ? -1 : 0;
}

int
conffile_fill(const struct conffile *f, cfg_t *sec, const char *file, void *base)
{
	int r = 0;

	for (const struct setting *s = f->settings; (s = setting_next(s, sec->name)) != NULL; s++) {
		if (!setting_is_text(s))
			setting_put(s, base, conffile_value(sec, s));
		else if (fill_text(setting_text(s, base), s, cfg_getstr(sec, s->name), file) == -1)
			r = -1;
	}
	return r;
}

int
conffile_line(const struct conffile *f, cfg_t *sec, const char *name, unsigned n)
{
	const cfg_opt_t *opt = cfg_getopt(sec, name);

	for (size_t i = f->nvalues; i > 0; i--)
		if (f->values[i - 1].opt == opt && f->values[i - 1].n == n)
			return f->values[i - 1].line;
	return conffile_begin(sec);
}

int
conffile_begin(cfg_t *sec)
{
	/* The file itself has no such mark, and begins nowhere. */
	return strcmp(sec->name, "root") == 0 ? 0 : cfg_getsec(sec, CONFFILE_BEGIN)->line;
}

bool
conffile_lacks(const struct conffile *f, cfg_t *sec, const char *name)
{
	bool whole = strcmp(sec->name, "root") == 0;

	return cfg_size(sec, name) == 0 && !f->stopped &&
	    !conftext_lost(&f->text, whole ? 0 : conffile_begin(sec), whole ? INT_MAX : sec->line);
}

/* Paths. */

char *
conffile_absolute(const char *path)
{
	char *cwd, *joined;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		return NULL;
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

/* Parsing. */

#define UNKNOWN "no such option '"

/* "; policy?" behind the word of an option that is not known. */
static void
suggest(const struct parsing *p, cfg_t *cfg, char *why, size_t cap)
{
	const char *words[CONFFILE_OPTIONS_MAX];
	char typed[64], near[128], *d = near;
	size_t n = 0, len = strlen(why);

	if (sscanf(why, UNKNOWN "%63[^']", typed) != 1)
		return;
	if (typed[0] == ';') {
		snprintf(why, cap, "a semicolon: nothing ends with one here");
		return;
	}
	for (const cfg_opt_t *o = cfg->opts; o->name != NULL && n < CONFFILE_OPTIONS_MAX; o++)
		if (strcmp(o->name, CONFFILE_BEGIN) != 0)
			words[n++] = o->name;
	if (nearest(near, sizeof(near), typed, words, n)) {
		for (const char *s = near; *s != '\0'; s++)
			if (*s != '"')
				*d++ = *s;
		*d = '\0';
		snprintf(why + len, cap - len, "; %s?", near);
		return;
	}
	for (const struct setting *s = p->f->settings; s->section != NULL; s++) {
		if (strcmp(s->name, typed) != 0)
			continue;
		snprintf(why + len, cap - len, " here: it belongs %s%s%s",
		    strcmp(s->section, "root") == 0 ? "outside all sections" : "into a section \"",
		    strcmp(s->section, "root") == 0 ? "" : s->section,
		    strcmp(s->section, "root") == 0 ? "" : "\"");
		return;
	}
}

static void __attribute__((format(printf, 2, 0)))
syntax_cb(cfg_t *cfg, const char *fmt, va_list ap)
{
	/* The first one is the cause. */
	if (parsing->line != 0)
		return;
	parsing->line = cfg->line;
	vsnprintf(parsing->why, sizeof(parsing->why), fmt, ap);
	suggest(parsing, cfg, parsing->why, sizeof(parsing->why));
}

/* The line that the parser has come to: each section counts on from that which it stands in. */
static int
furthest(cfg_t *cfg)
{
	int line = cfg->line;

	for (cfg_opt_t *o = cfg->opts; o->name != NULL; o++) {
		for (unsigned i = 0; o->type == CFGT_SEC && i < o->nvalues; i++) {
			int l = furthest(o->values[i]->section);

			line = l > line ? l : line;
		}
	}
	return line;
}

/* One parse. Whether it came to the end; else the line and reason are in p. */
static bool
parse(struct parsing *p, cfg_opt_t *opts)
{
	struct conffile *f = p->f;

	if (f->cfg != NULL)
		cfg_free(f->cfg);
	f->nvalues = 0;
	f->full = false;
	p->line = 0;
	snprintf(p->why, sizeof(p->why), "syntax error");
	f->cfg = cfg_init(opts, CFGF_NONE);
	if (f->cfg == NULL)
		return false;
	cfg_set_error_function(f->cfg, syntax_cb);
	if (cfg_parse_buf(f->cfg, f->text.text) == CFG_SUCCESS)
		return true;
	/* An empty name fails without a message. */
	if (p->line == 0)
		p->line = furthest(f->cfg);
	return false;
}

/* A list that is set to something, and further down to nothing: its rules would vanish silently. */
static void
find_emptied(struct parsing *p)
{
	for (size_t i = 0; i < p->f->nvalues; i++) {
		const struct conffile_value *v = &p->f->values[i];

		if (v->n == 0 && v->opt->nvalues == 0)
			errlist_add(&p->values, p->f->path, v->line,
			    "%s is emptied again further down", v->opt->name);
	}
}

/* Parses until the end is reached or there is no way past an error of syntax. */
static void
parse_all(struct parsing *p, cfg_opt_t *opts, struct errlist *e)
{
	struct conffile *f = p->f;

	for (int i = 0; i < PARSES_MAX && e->n < ERRLIST_MAX; i++) {
		const char *why = p->why;
		int blame;

		if (parse(p, opts)) {
			find_emptied(p);
			errlist_merge(e, &p->values, INT_MAX);
			return;
		}
		if (f->cfg == NULL) {
			errlist_add(e, f->path, 0, "out of memory");
			break;
		}
		/* The file ends too early as its end was taken out: that is reported already. */
		if (conftext_ends(&f->text, p->line) && conftext_lost(&f->text, INT_MAX, INT_MAX)) {
			errlist_merge(e, &p->values, INT_MAX);
			break;
		}
		blame = conftext_blame(&f->text, p->line, &why);
		/* What was read behind it was perhaps taken for something else. */
		errlist_merge(e, &p->values, blame);
		errlist_add(e, f->path, blame, "%s", why);
		if (f->text.unclosed != 0 && blame >= f->text.unclosed)
			break;
		if (!conftext_pass(&f->text, blame))
			break;
	}
	f->stopped = true;
}

int
conffile_parse(struct conffile *f, const char *path, const char *given, cfg_opt_t *opts,
    const struct setting *settings, struct errlist *e)
{
	struct errlist said = { .n = 0 }, found = { .n = 0 };
	struct parsing p = { .f = f, .reported = &said };

	*f = (struct conffile){ .path = path, .settings = settings };
	if (conftext_load(&f->text, path, given, &said) == 0) {
		parsing = &p;
		parse_all(&p, opts, &found);
		parsing = NULL;
		errlist_fini(&p.values);
	}
	errlist_take(&said, &found);
	errlist_sort(&said, 0);
	errlist_take(e, &said);
	return f->cfg == NULL ? -1 : 0;
}

void
conffile_fini(struct conffile *f)
{
	if (f->cfg != NULL)
		cfg_free(f->cfg);
	conftext_fini(&f->text);
	free(f->values);
	*f = (struct conffile){ .cfg = NULL };
}
