/* fuzz-keytab.c: libFuzzer target: the format of keytabs, here and as MIT's library reads it */
/* for: base/keytab.c */
#include "config.h"

#include "base/keytab.h"
#include "t/fuzz/onfile.h"

#include <krb5.h>
#include <sanitizer/lsan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 32

struct ours {
	size_t n;
	struct keytab_entry e[ENTRIES];
};

static int
keep(void *arg, const struct keytab_entry *e)
{
	struct ours *o = arg;

	(void)keytab_serves(e, "cifs,host");
	if (o->n == ENTRIES)
		return -1;
	o->e[o->n++] = *e;
	return 0;
}

static bool
same_text(const struct keytab_text *t, const krb5_data *d)
{
	return t->n == d->length && (t->n == 0 || memcmp(t->p, d->data, t->n) == 0);
}

static void
same(const struct keytab_entry *e, const krb5_keytab_entry *mit)
{
	HOLDS(same_text(&e->realm, &mit->principal->realm));
	HOLDS(e->ncomponents == (size_t)mit->principal->length);
	for (size_t i = 0; i < e->ncomponents; i++)
		HOLDS(same_text(&e->component[i], &mit->principal->data[i]));
	HOLDS(e->kvno == mit->vno && e->enctype == mit->key.enctype);
	HOLDS(e->key_len == mit->key.length && memcmp(e->key, mit->key.contents, e->key_len) == 0);
}

/* An entry of MIT's is the next of ours, if it is one of those that are used here. */
static bool
is_used(const krb5_keytab_entry *mit)
{
	switch (mit->key.enctype) {
	case KEYTAB_AES128_SHA1:
	case KEYTAB_AES256_SHA1:
	case KEYTAB_AES128_SHA2:
	case KEYTAB_AES256_SHA2:
	case KEYTAB_RC4:
		return true;
	default:
		return false;
	}
}

/* MIT takes an entry in which a name, or the key, is empty for the end of the file. */
static bool
ends_early(const struct ours *o, size_t i, size_t unknown)
{
	const struct keytab_entry *e = &o->e[i];
	bool empty = i < o->n && (e->realm.n == 0 || e->ncomponents == 0);

	for (size_t k = 0; i < o->n && k < e->ncomponents; k++)
		empty |= e->component[k].n == 0;
	return empty || unknown > 0;
}

static void
compare(krb5_context ctx, const char *path, const struct ours *o, size_t unknown)
{
	char name[64];
	krb5_keytab kt;
	krb5_kt_cursor at;
	krb5_keytab_entry mit;
	size_t i = 0;

	snprintf(name, sizeof(name), "FILE:%s", path);
	HOLDS(krb5_kt_resolve(ctx, name, &kt) == 0);
	if (krb5_kt_start_seq_get(ctx, kt, &at) == 0) {
		krb5_error_code rc;

		while ((rc = krb5_kt_next_entry(ctx, kt, &mit, &at)) == 0) {
			if (is_used(&mit)) {
				HOLDS(i < o->n);
				same(&o->e[i++], &mit);
			} else {
				HOLDS(unknown-- > 0);
			}
			krb5_free_keytab_entry_contents(ctx, &mit);
		}
		HOLDS(rc != KRB5_KT_END || (i == o->n && unknown == 0) ||
		    ends_early(o, i, unknown));
		krb5_kt_end_seq_get(ctx, kt, &at);
	}
	krb5_kt_close(ctx, kt);
}

/* Counted from the file, it is as many. */
static void
counted(int fd, const struct ours *o, size_t unknown)
{
	struct keytab_use u;
	char why[KEYTAB_WHY], name[32];

	HOLDS(lseek(fd, 0, SEEK_SET) == 0);
	HOLDS(keytab_use(fd, "cifs,host", &u, why) == 0);
	HOLDS(u.usable + u.others == o->n && u.unknown == unknown);
	for (size_t i = 0; i < o->n; i++)
		HOLDS(strncmp(keytab_enctype_str(o->e[i].enctype, name), "enctype", 7) != 0);
	HOLDS(strcmp(keytab_enctype_str(3, name), "enctype 3") == 0);
	/* One that is no file. */
	HOLDS(keytab_use(-1, "cifs", &u, why) == -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct onfile f = { .fd = -1 };
	static krb5_context ctx;
	struct ours o = { .n = 0 };
	char why[KEYTAB_WHY] = "";
	size_t unknown;

	if (f.fd == -1) {
		f = onfile_new();
		HOLDS(krb5_init_context(&ctx) == 0);
	}
	if (keytab_parse(data, size, keep, &o, &unknown, why) == -1) {
		HOLDS(why[0] != '\0' || o.n == ENTRIES);
		return 0;
	}
	onfile_put(&f, data, size);
	counted(f.fd, &o, unknown);
	/* MIT's reader leaks names. */
	__lsan_disable();
	compare(ctx, f.path, &o, unknown);
	__lsan_enable();
	return 0;
}
