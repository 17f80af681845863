/* keytab.h: the file format of keytabs, version 0x0502 */
#ifndef BASE_KEYTAB_H
#define BASE_KEYTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


/* The largest file that is taken: thousands of keys. */
#define KEYTAB_FILE_MAX (512 * 1024)
#define KEYTAB_COMPONENTS_MAX 8
/* Of a reason. */
#define KEYTAB_WHY 160

enum keytab_enctype {
	KEYTAB_AES128_SHA1 = 17,
	KEYTAB_AES256_SHA1 = 18,
	KEYTAB_AES128_SHA2 = 19,
	KEYTAB_AES256_SHA2 = 20,
	KEYTAB_RC4 = 23,
};

struct keytab_text {
	const char *p;		/* no NUL behind it, and none in it */
	size_t n;
};

/* All pointers point into the file's bytes. */
struct keytab_entry {
	struct keytab_text realm;
	struct keytab_text component[KEYTAB_COMPONENTS_MAX];
	size_t ncomponents;
	uint32_t name_type;
	uint32_t kvno;
	uint16_t enctype;
	const uint8_t *key;
	size_t key_len;
};

/*
 * Calls each() for the entries whose enctype is one of the above; the others are counted in
 * *unknown. each() ends it by -1, having set why. 0, or -1: why says what is wrong with the file.
 */
int keytab_parse(const uint8_t *p, size_t n, int (*each)(void *arg, const struct keytab_entry *e),
    void *arg, size_t *unknown, char why[KEYTAB_WHY]) __attribute__((warn_unused_result));

/*
 * Are the tickets of its principal among those that are opened? services: names with a comma
 * between them, in either case. One component: an account, whose key is that of all its services,
 * or a user.
 */
bool keytab_serves(const struct keytab_entry *e, const char *services);

/* What a keytab is good for. */
struct keytab_use {
	size_t usable;		/* keys */
	size_t unknown;		/* of other enctypes */
	size_t others;		/* of other services */
};

/* The file behind fd, from its start. 0, or -1: why says what is wrong with it. No key is left. */
int keytab_use(int fd, const char *services, struct keytab_use *u, char why[KEYTAB_WHY])
    __attribute__((warn_unused_result));

/* The whole file, for the caller to wipe and free, and its size. NULL: why says it. */
uint8_t *keytab_read(int fd, size_t *n, char why[KEYTAB_WHY]);

/* "aes256-cts-hmac-sha1-96", or "enctype 99" in dst. */
const char *keytab_enctype_str(uint32_t enctype, char dst[32]);

#endif
