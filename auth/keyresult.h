/* keyresult.h: what has become of an exchange with smbgate-keyd: a key, or why there is none */
#ifndef AUTH_KEYRESULT_H
#define AUTH_KEYRESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/nokey.h"

/* The longest GSS key: AES-256's. */
#define KEYC_KEY_MAX 64
#define KEYC_PRINCIPAL_MAX 256

enum keyx_state {
	KEYX_NOTHING,		/* nothing has been asked yet */
	KEYX_ASKING,		/* an answer is on its way */
	KEYX_READY,
	KEYX_FAILED,
};

struct keyx_result {
	enum keyx_state state;
	bool mutual;			/* Kerberos: the AP-REP that must come decides the key */
	/* READY: the GSS key at its real length. 0: no key before the AP-REP has come. */
	size_t key_len;
	uint8_t key[KEYC_KEY_MAX];
	char principal[KEYC_PRINCIPAL_MAX];	/* who logs on; "" while not known */
	struct nokey why;		/* FAILED */
};

#endif
