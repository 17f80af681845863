/* keyd-keytab.c: unit tests of what smbgate-keyd reads and keeps: messages, its arena, keytabs */
#include "config.h"

#include "auth/keymsg.h"
#include "base/keytab.h"
#include "keyd/arena.h"
#include "t/unit/lib/keydmade.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Messages. */

static void
test_keymsg(void **state)
{
	static const uint8_t data[64] = { 1, 2, 3 };
	const struct keymsg all[] = {
		{ .type = KEYMSG_HELLO, .id = KEYMSG_VERSION },
		{ .type = KEYMSG_AP_REQ, .id = 1, .data = data, .len = 64 },
		{ .type = KEYMSG_AP_REP, .id = UINT64_MAX, .data = data, .len = 1 },
		{ .type = KEYMSG_NTLM_CHALLENGE, .id = 3, .data = data, .len = 32 },
		{ .type = KEYMSG_NTLM_AUTH, .id = 3, .data = data, .len = 64 },
		{ .type = KEYMSG_FORGET, .id = 3 },
		{ .type = KEYMSG_KEY, .id = 4, .mutual = true, .data = data, .len = 32,
		    .text = "a@B", .text_len = 3 },
		{ .type = KEYMSG_KEY, .id = 4, .mutual = true, .text = "a@B", .text_len = 3 },
		{ .type = KEYMSG_FAIL, .id = 5, .cause = NOKEY_CAUSES - 1, .text = "why",
		    .text_len = 3 },
	};
	uint8_t b[256];

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		size_t n = keymsg_put(b, sizeof(b), &all[i]);
		struct keymsg m;

		assert_true(n > 0);
		assert_int_equal(keymsg_get(&m, b, n), 0);
		assert_int_equal(m.type, all[i].type);
		assert_true(m.id == all[i].id && m.mutual == all[i].mutual);
		assert_int_equal(m.cause, all[i].cause);
		assert_int_equal(m.len, all[i].len);
		assert_int_equal(m.text_len, all[i].text_len);
		assert_memory_equal(m.data, data, m.len);
		assert_memory_equal(m.text, all[i].text == NULL ? "" : all[i].text, m.text_len);
		assert_int_equal(keymsg_put(b, n - 1, &all[i]), 0);
		for (size_t k = 0; k < n; k++) {
			uint8_t *cut = exact(b, k);

			assert_int_equal(keymsg_get(&m, cut, k), -1);
			free(cut);
		}
		b[n] = 0;
		assert_int_equal(keymsg_get(&m, b, n + 1), -1);
	}
	assert_true(keymsg_is_request(KEYMSG_AP_REQ) && keymsg_is_request(KEYMSG_FORGET));
	assert_false(keymsg_is_request(KEYMSG_HELLO) || keymsg_is_request(KEYMSG_KEY));
	assert_false(keymsg_is_request((enum keymsg_type)0) || keymsg_is_request(KEYMSG_TYPES));
}

static void
test_keymsg_bounds(void **state)
{
	uint8_t *big = calloc(1, KEYMSG_MAX), *b = malloc(KEYMSG_MAX);
	struct keymsg m = { .type = KEYMSG_AP_REQ, .data = big, .len = KEYMSG_TOKEN_MAX };

	(void)state;
	assert_true(keymsg_put(b, KEYMSG_MAX, &m) > KEYMSG_TOKEN_MAX);
	m.len++;
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m.len = 0;
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_KEY, .data = big, .len = KEYMSG_KEY_MAX + 1 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FAIL, .text = (char *)big,
	    .text_len = KEYMSG_TEXT_MAX + 1 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FORGET, .mutual = true };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_KEY, .text = "a@B", .text_len = 3 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FAIL, .cause = NOKEY_CAUSES };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FORGET, .cause = 1 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_TYPES };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	free(big);
	free(b);
}

static void
test_arena(void **state)
{
	struct arena a;
	const char *why;
	uint8_t *p, *q;

	(void)state;
	assert_int_equal(arena_init(&a, 65536, &why), 0);
	p = arena_alloc(&a, 1);
	q = arena_alloc(&a, 100);
	assert_true(q - p == 16);
	for (int i = 0; i < 100; i++)
		assert_int_equal(q[i], 0);
	memset(q, 1, 100);
	assert_null(arena_alloc(&a, 65536));
	assert_non_null(arena_alloc(&a, 65536 - 16 - 112));
	assert_null(arena_alloc(&a, 1));
	arena_fini(&a);
	assert_null(a.base);
	arena_fini(&a);
}

/* Keytabs. */

static void
tab_hole(struct tab *t, uint32_t n)
{
	tab_be(t, 0u - n, 4);
	memset(t->b + t->n, 0xee, n);
	t->n += n;
	t->ends[t->nends++] = t->n;
}

struct found {
	size_t n;
	uint32_t kvno[16];
	uint16_t enctype[16];
	size_t components[16];
};

static int
found_cb(void *arg, const struct keytab_entry *e)
{
	struct found *f = arg;

	if (f->n == 16)
		return -1;
	f->kvno[f->n] = e->kvno;
	f->components[f->n] = e->ncomponents;
	f->enctype[f->n++] = e->enctype;
	return 0;
}

static void
full_tab(struct tab *t)
{
	tab_begin(t);
	tab_entry(t, "cifs/nas", "LAB", 1, 0, 0, KEYTAB_AES256_SHA1, some_key, 32);
	tab_entry(t, "cifs/nas", "LAB", 2, 258, 4, KEYTAB_AES128_SHA1, some_key, 16);
	tab_hole(t, 77);
	tab_entry(t, "alice", "LAB", 3, 0, 4, KEYTAB_RC4, some_key, 16);
	tab_entry(t, "old", "LAB", 1, 0, 0, 3, some_key, 8);
	tab_entry(t, "host/a/b", "LAB", 9, 0, 3, KEYTAB_AES256_SHA2, some_key, 32);
	tab_entry(t, "nas$", "LAB", 1, 0xfff00001, 4, KEYTAB_AES128_SHA2, some_key, 16);
}

static void
test_keytab(void **state)
{
	struct found f = { .n = 0 };
	char why[KEYD_WHY];
	struct tab t;
	size_t unknown;

	(void)state;
	full_tab(&t);
	assert_int_equal(keytab_parse(t.b, t.n, found_cb, &f, &unknown, why), 0);
	assert_int_equal(f.n, 5);
	assert_int_equal(unknown, 1);
	assert_int_equal(f.kvno[0], 1);
	assert_int_equal(f.kvno[1], 258);
	assert_int_equal(f.kvno[2], 3);
	assert_int_equal(f.kvno[3], 9);
	assert_true(f.kvno[4] == 0xfff00001);
	assert_int_equal(f.enctype[2], KEYTAB_RC4);
	assert_int_equal(f.components[2], 1);
	assert_int_equal(f.components[3], 3);
	/* A zero length ends it. */
	memset(t.b + t.n, 0, 8);
	f.n = 0;
	assert_int_equal(keytab_parse(t.b, t.n + 8, found_cb, &f, &unknown, why), 0);
	assert_int_equal(f.n, 5);
}

static struct keytab_use
use_of(const char *services)
{
	int fd = memfd_create("keytab", MFD_CLOEXEC);
	struct keytab_use u;
	char why[KEYTAB_WHY];
	struct tab t;

	full_tab(&t);
	assert_int_equal(write(fd, t.b, t.n), t.n);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(keytab_use(fd, services, &u, why), 0);
	close(fd);
	return u;
}

/* Accounts count for any service, a service in either case, and no part of a name. */
static void
test_keytab_use(void **state)
{
	struct keytab_use u = use_of("cifs");
	char why[KEYTAB_WHY];
	int fd;

	(void)state;
	assert_true(u.usable == 4 && u.others == 1 && u.unknown == 1);
	u = use_of("HOST,x");
	assert_true(u.usable == 3 && u.others == 2);
	u = use_of("x,Cifs,host");
	assert_true(u.usable == 5 && u.others == 0);
	u = use_of("cif,cifs/,hos,ifs");
	assert_true(u.usable == 2 && u.others == 3);
	fd = memfd_create("keytab", MFD_CLOEXEC);
	assert_int_equal(keytab_use(fd, "cifs", &u, why), -1);
	assert_string_equal(why, "keytab: it is empty");
	assert_int_equal(ftruncate(fd, KEYTAB_FILE_MAX + 1), 0);
	assert_int_equal(keytab_use(fd, "cifs", &u, why), -1);
	assert_non_null(strstr(why, "larger than"));
	close(fd);
}

/* Cut anywhere but between entries it is an error, and never a byte beyond is looked at. */
static void
test_keytab_cut(void **state)
{
	struct tab t;

	(void)state;
	full_tab(&t);
	for (size_t n = 0; n <= t.n; n++) {
		uint8_t *cut = exact(t.b, n);
		struct found f = { .n = 0 };
		char why[KEYD_WHY] = "";
		bool whole = false;
		size_t unknown;
		int r = keytab_parse(cut, n, found_cb, &f, &unknown, why);

		for (size_t i = 0; i < t.nends; i++)
			whole |= t.ends[i] == n;
		assert_int_equal(r, whole ? 0 : -1);
		assert_true(whole || strncmp(why, "keytab: ", 8) == 0);
		free(cut);
	}
}

static void
test_keytab_flipped(void **state)
{
	struct tab t;

	(void)state;
	full_tab(&t);
	for (size_t i = 0; i < 8 * t.n; i++) {
		uint8_t *b = exact(t.b, t.n);
		struct found f = { .n = 0 };
		char why[KEYD_WHY];
		size_t unknown;

		b[i / 8] ^= (uint8_t)(1 << i % 8);
		if (keytab_parse(b, t.n, found_cb, &f, &unknown, why) == 0)
			assert_true(f.n <= 6);
		free(b);
	}
}

static void
check_bad_tab(const struct tab *t, const char *part)
{
	struct found f = { .n = 0 };
	char why[KEYD_WHY] = "";
	size_t unknown;

	assert_int_equal(keytab_parse(t->b, t->n, found_cb, &f, &unknown, why), -1);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
test_keytab_bad(void **state)
{
	struct tab t = { .n = 0 };

	(void)state;
	check_bad_tab(&t, "it is empty");
	tab_be(&t, 0x0501, 2);
	check_bad_tab(&t, "version 0x0502");
	tab_begin(&t);
	tab_entry(&t, "a", "R", 1, 0, 0, KEYTAB_AES256_SHA1, some_key, 16);
	check_bad_tab(&t, "entry 1: 16 bytes are no key of aes256-cts-hmac-sha1-96");
	tab_begin(&t);
	tab_entry(&t, "a", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	tab_entry(&t, "a/b/c/d/e/f/g/h/i", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	check_bad_tab(&t, "entry 2: 9 components");
	tab_begin(&t);
	tab_be(&t, 0x80000000, 4);
	check_bad_tab(&t, "in a hole");
	tab_begin(&t);
	tab_entry(&t, "abc", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	t.b[2 + 4 + 2 + 3 + 2 + 1] = '\0';
	check_bad_tab(&t, "entry 1: does not keep");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keymsg),
		cmocka_unit_test(test_keymsg_bounds),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_keytab),
		cmocka_unit_test(test_keytab_use),
		cmocka_unit_test(test_keytab_cut),
		cmocka_unit_test(test_keytab_flipped),
		cmocka_unit_test(test_keytab_bad),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
