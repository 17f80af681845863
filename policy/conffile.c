/* conffile.c: what both configuration files share: parsing with every error collected, values with units, paths */
#include "config.h"

#include "policy/conffile.h"

#include "base/addr.h"
#include "policy/errlist.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Parses of one file: each goes past one more error of syntax. */
#define PARSES_MAX ERRLIST_MAX
/* Values of one file, so that looking one up takes no time worth a word. */
#define VALUES_MAX 16384

/*
 * libconfuse hands its callbacks no argument, so what they need stands here while it parses. It is
 * one thread's and dead outside conffile_parse().
 */
struct parsing {
	struct conffile *f;
	const struct errlist *said;	/* what is wrong with the text: no word on those lines */
	struct errlist values;		/* wrong values of this parse */
	int line;			/* of the error of syntax that ended it; 0 = none */
	char why[256];
};

static _Thread_local struct parsing *parsing;

/* Values. */

/* What is too large is the largest, which no range holds: it is a number all the same. */
static uint64_t
times(uint64_t v, uint64_t factor)
{
	uint64_t r;

	return __builtin_mul_overflow(v, factor, &r) ? UINT64_MAX : r;
}

static int
number(uint64_t *dst, const char *text, const char **end)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_add_overflow(times(v, 10), (uint64_t)(*p - '0'), &v))
			v = UINT64_MAX;
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
		*dst = times(v, units->factor);
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

const char *
conffile_duration_str(uint64_t ms, char dst[CONFFILE_STRLEN])
{
	static const struct unit units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
		{ "ms", 1 } };
	const struct unit *u = units;

	if (ms == 0)
		return "0";
	while (ms % u->factor != 0)
		u++;
	snprintf(dst, CONFFILE_STRLEN, "%llu%s", (unsigned long long)(ms / u->factor), u->name);
	return dst;
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
	if (__builtin_add_overflow(times(v, 10), tenths, &v))
		v = UINT64_MAX;
	if (scale(dst, v, end, units) == -1)
		return -1;
	*dst /= *dst == UINT64_MAX ? 1 : 10;
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
	case SETTING_SECONDS:
		return conffile_duration(dst, text) == -1 || *dst % 1000 != 0 ? -1 : 0;
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
		[SETTING_SECONDS] = "a time in whole seconds with its unit, like \"30s\"",
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

/* Two of them and what stands between. */
#define RANGE_STRLEN (2 * CONFFILE_STRLEN + 2)

/* "1..1000", "50ms..24h"; NULL where a kind has none. */
static const char *
range(const struct setting *s, char dst[RANGE_STRLEN])
{
	char min[CONFFILE_STRLEN], max[CONFFILE_STRLEN];

	switch (s->kind) {
	case SETTING_DURATION:
	case SETTING_SECONDS:
		snprintf(dst, RANGE_STRLEN, "%s..%s", conffile_duration_str(s->min, min),
		    conffile_duration_str(s->max, max));
		return dst;
	case SETTING_NUMBER:
	case SETTING_SPEED:
		snprintf(dst, RANGE_STRLEN, "%llu..%llu", (unsigned long long)s->min,
		    (unsigned long long)s->max);
		return dst;
	default:
		return NULL;
	}
}

static const struct setting *
find(const struct setting *s, const char *section, const char *name)
{
	for (; s->section != NULL; s++)
		if (strcmp(s->section, section) == 0 && strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

static void
judge(const struct setting *s, const char *text, const char *path, int line)
{
	char what[256], bounds[RANGE_STRLEN];
	const char *within = range(s, bounds);
	uint64_t v;

	if (value(&v, s, text) == -1) {
		expected(s, what, sizeof(what));
		errlist_add(&parsing->values, path, line, "%s: \"%s\" is not %s%s%s%s", s->name, text,
		    what, within == NULL ? "" : " (", within == NULL ? "" : within,
		    within == NULL ? "" : ")");
	} else if (within != NULL && (v < s->min || v > s->max)) {
		errlist_add(&parsing->values, path, line, "%s: %s is not within %s", s->name, text,
		    within);
	}
}

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
note(struct conffile *f, const cfg_opt_t *opt, int line)
{
	int first = opt->nvalues == 1 ? first_line(f, opt) : 0;

	if (first != 0)
		errlist_add(&parsing->values, f->path, line, "%s stands here again: see line %d",
		    opt->name, first);
	if (f->nvalues == VALUES_MAX) {
		if (!f->full)
			errlist_add(&parsing->values, f->path, line, "more than %d values", VALUES_MAX);
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
was_said(const struct errlist *e, int line)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->line[i] == line)
			return true;
	return false;
}

int
conffile_check(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct conffile *f = parsing->f;
	const struct setting *s = find(f->settings, cfg->name, opt->name);

	note(f, opt, cfg->line);
	if (was_said(parsing->said, cfg->line))
		;
	else if (s != NULL)
		judge(s, text, f->path, cfg->line);
	else
		/* libconfuse reads "section|option" as a path; such a value is not in our table. */
		errlist_add(&parsing->values, f->path, cfg->line, "no such option '%s' here", opt->name);
	*(const char **)result = text;
	return 0;
}

uint64_t
conffile_uint(const struct conffile *f, cfg_t *sec, const char *name, uint64_t dflt)
{
	const struct setting *s = find(f->settings, sec->name, name);
	const char *text = cfg_getstr(sec, name);
	uint64_t v;

	return text == NULL || s == NULL || value(&v, s, text) == -1 ? dflt : v;
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
	return cfg_getsec(sec, CONFFILE_BEGIN)->line;
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

/* Parsing. */

static void __attribute__((format(printf, 2, 0)))
syntax_cb(cfg_t *cfg, const char *fmt, va_list ap)
{
	/* The first one is the cause. */
	if (parsing->line != 0)
		return;
	parsing->line = cfg->line;
	vsnprintf(parsing->why, sizeof(parsing->why), fmt, ap);
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
	snprintf(p->why, sizeof(p->why), "not understood");
	f->cfg = cfg_init(opts, CFGF_NONE);
	if (f->cfg == NULL)
		return false;
	cfg_set_error_function(f->cfg, syntax_cb);
	if (cfg_parse_buf(f->cfg, f->text.text) == CFG_SUCCESS)
		return true;
	/* An empty name fails without a word. */
	if (p->line == 0)
		p->line = furthest(f->cfg);
	return false;
}

/* A list that is set to nothing further down than to something: rules would vanish silently. */
static void
find_emptied(struct parsing *p)
{
	for (size_t i = 0; i < p->f->nvalues; i++) {
		const struct conffile_value *v = &p->f->values[i];

		if (v->n == 0 && v->opt->nvalues == 0)
			errlist_add(&p->values, p->f->path, v->line, "%s is made empty further down",
			    v->opt->name);
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
		/* The end of a file whose end was taken away is no news. */
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
conffile_parse(struct conffile *f, const char *path, cfg_opt_t *opts,
    const struct setting *settings, struct errlist *e)
{
	struct errlist said = { .n = 0 }, found = { .n = 0 };
	struct parsing p = { .f = f, .said = &said };

	*f = (struct conffile){ .path = path, .settings = settings };
	if (conftext_load(&f->text, path, &said) == 0) {
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
