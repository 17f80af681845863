/* keys.c: one keytab as smbgate-keyd uses it */
#include "config.h"

#include "keyd/keys.h"

#include "base/keytab.h"
#include "base/log.h"
#include "keyd/krb5.h"
#include "keyd/rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The file, and the users' hashes, which take up to three times their room in the file. Two of it
 * at a reload stay below the 8 MiB that a process may lock by default.
 */
#define ARENA_SIZE (4 * KEYTAB_FILE_MAX)

/* Gathered during one load, for the log. */
struct load {
	struct keyd_keys *keys;
	const struct rules *rules;
	size_t others;			/* entries of other services */
	size_t entries, nprincipals, principals_cap;
	uint64_t *principals;		/* hashes of names */
	uint32_t enctypes;		/* bit n: enctype n */
	uint32_t kvno[8];
	size_t nkvno;
	bool more_kvno;
};

static uint64_t
fnv(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 0x100000001b3ull;
	return (h ^ '/') * 0x100000001b3ull;
}

static void
count(struct load *l, const struct keytab_entry *e)
{
	uint64_t h = fnv(0xcbf29ce484222325ull, e->realm.p, e->realm.n);
	size_t i;

	for (i = 0; i < e->ncomponents; i++)
		h = fnv(h, e->component[i].p, e->component[i].n);
	if (l->nprincipals == l->principals_cap) {
		size_t cap = l->principals_cap == 0 ? 64 : 2 * l->principals_cap;
		uint64_t *p = realloc(l->principals, cap * sizeof(*p));

		if (p != NULL) {
			l->principals = p;
			l->principals_cap = cap;
		}
	}
	if (l->nprincipals < l->principals_cap)
		l->principals[l->nprincipals++] = h;
	l->entries++;
	if (e->enctype < 32)
		l->enctypes |= 1u << e->enctype;
	for (i = 0; i < l->nkvno && l->kvno[i] != e->kvno; i++)
		continue;
	if (i < l->nkvno)
		return;
	if (i < sizeof(l->kvno) / sizeof(l->kvno[0]))
		l->kvno[l->nkvno++] = e->kvno;
	else
		l->more_kvno = true;
}

static int
add_cb(void *arg, const struct keytab_entry *e)
{
	struct load *l = arg;
	struct keyd_keys *keys = l->keys;

	/* One component: an account, whose key is that of all its services, or a user. */
	if (e->ncomponents > 1 &&
	    !rules_is_service(l->rules, e->component[0].p, e->component[0].n)) {
		l->others++;
		return 0;
	}
	count(l, e);
	if (kerb_keys_add(keys->kerb, e, &keys->why) == -1)
		return -1;
	if (nthashes_fits(e) && nthashes_add(&keys->hashes, &keys->arena, e) == -1) {
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: there are too many keys in it");
		return -1;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static size_t
distinct(struct load *l)
{
	size_t n = 0;

	if (l->nprincipals > 0)
		qsort(l->principals, l->nprincipals, sizeof(l->principals[0]), compare);
	for (size_t i = 0; i < l->nprincipals; i++)
		n += i == 0 || l->principals[i] != l->principals[i - 1];
	return n;
}

static void
keys_report(struct load *l, size_t unknown)
{
	char kvnos[128] = "", enctypes[160] = "", name[32];
	size_t used = 0;

	for (size_t i = 0; i < l->nkvno; i++)
		used += (size_t)snprintf(kvnos + used, sizeof(kvnos) - used, " %u", l->kvno[i]);
	used = 0;
	for (uint32_t e = 0; e < 32 && used < sizeof(enctypes); e++)
		if ((l->enctypes & 1u << e) != 0)
			used += (size_t)snprintf(enctypes + used, sizeof(enctypes) - used, " %s",
			    keytab_enctype_str(e, name));
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_KEYTAB),
	    "keytab: %zu entries, %zu principals, kvno%s%s,%s; %zu users' hashes; left out: "
	    "%zu entries of other kinds, %zu of services that are not in keytab-services",
	    l->entries, distinct(l), kvnos, l->more_kvno ? " ..." : "", enctypes,
	    l->keys->hashes.n, unknown, l->others);
}

/* The number of bytes in *p, which the arena holds, or -1. */
static ssize_t
read_file(struct keyd_keys *keys, int fd, uint8_t **p)
{
	size_t n = 0;
	ssize_t got;

	*p = arena_alloc(&keys->arena, KEYTAB_FILE_MAX + 1);
	if (*p == NULL)
		return -1;
	do {
		got = read(fd, *p + n, KEYTAB_FILE_MAX + 1 - n);
		if (got > 0)
			n += (size_t)got;
	} while ((got > 0 && n <= KEYTAB_FILE_MAX) || (got == -1 && errno == EINTR));
	if (got == -1)
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: cannot be read: %s",
		    strerror(errno));
	else if (n > KEYTAB_FILE_MAX)
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: larger than %d bytes",
		    KEYTAB_FILE_MAX);
	else
		return (ssize_t)n;
	return -1;
}

static int
keys_load(struct keyd_keys *keys, const struct rules *rules, int fd)
{
	struct load l = { .keys = keys, .rules = rules };
	size_t unknown;
	const char *why;
	ssize_t n;
	uint8_t *p;
	int r = -1;

	_Static_assert(NOKEY_TEXT >= KEYTAB_WHY, "room for what is wrong with a keytab");
	if (arena_init(&keys->arena, ARENA_SIZE, &why) == -1) {
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: %s", why);
		return -1;
	}
	keys->kerb = kerb_keys_new();
	if (keys->kerb == NULL) {
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: out of memory");
		return -1;
	}
	keys->why.cause = NOKEY_no_keytab;
	n = read_file(keys, fd, &p);
	if (n >= 0 && keytab_parse(p, (size_t)n, add_cb, &l, &unknown, keys->why.text) == 0) {
		if (l.entries > 0) {
			keys_report(&l, unknown);
			r = 0;
		} else if (l.others > 0) {
			nokey_say(&keys->why, NOKEY_no_keytab,
			    "keytab: its keys are of services that are not in keytab-services");
		} else {
			nokey_say(&keys->why, NOKEY_no_keytab,
			    "keytab: no keys in it that could be used");
		}
	}
	free(l.principals);
	return r;
}

struct keyd_keys *
keyd_keys_load(const struct rules *rules, int fd)
{
	struct keyd_keys *keys = calloc(1, sizeof(*keys));

	if (keys == NULL)
		return NULL;
	if (keys_load(keys, rules, fd) == -1) {
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYTAB), "%s", keys->why.text);
		kerb_keys_free(&keys->kerb);
		keys->hashes = (struct nthashes){ .n = 0 };
		arena_fini(&keys->arena);
	}
	return keys;
}

struct keyd_keys *
keyd_keys_none(const char *why)
{
	struct keyd_keys *keys = calloc(1, sizeof(*keys));

	if (keys != NULL) {
		nokey_say(&keys->why, NOKEY_no_keytab, "keytab: %s", why);
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYTAB), "%s", keys->why.text);
	}
	return keys;
}

void
keyd_keys_free(struct keyd_keys **keys)
{
	if (*keys != NULL) {
		kerb_keys_free(&(*keys)->kerb);
		arena_fini(&(*keys)->arena);
		free(*keys);
	}
	*keys = NULL;
}

size_t
keyd_keys_reserve(void)
{
	return 2 * ARENA_SIZE;
}

int
keyd_keys_selftest(char why[KEYD_WHY])
{
	struct arena a;
	const char *text;

	if (arena_init(&a, keyd_keys_reserve(), &text) == -1) {
		snprintf(why, KEYD_WHY, "%s", text);
		return -1;
	}
	arena_fini(&a);
	return 0;
}
