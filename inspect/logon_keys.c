/* logon_keys.c: the keys of a logon, believed when the node's answer is signed with them */
#include "config.h"

#include "inspect/logon_keys.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "smb/const.h"
#include "smb/hdr2.h"

#include <stdbool.h>

static const char not_derived[] = "the node signed with a key that could not be derived";

static bool
is_signed(const uint8_t *answer, size_t len)
{
	struct hdr2 h;

	return hdr2_get(&h, answer, len) == 0 && (h.flags & SMB2_FLAGS_SIGNED) != 0;
}

static bool
believable(struct crypt *crypt, const struct signkey *k, const uint8_t *answer, size_t len)
{
	return !is_signed(answer, len) || sign_good(crypt, k, answer, len);
}

const char *
logon_keys(const struct logon_facts *f, struct crypt *crypt, const uint8_t *answer, size_t len,
    struct smbkeys **keys, struct signkey *signing)
{
	for (int v = 0; v < KEYS_VARIANTS; v++) {
		*keys = smbkeys_derive(f, (enum keys_variant)v);
		if (*keys != NULL && believable(crypt, &(*keys)->signing, answer, len)) {
			*signing = (*keys)->signing;
			if (is_signed(answer, len))
				smbkeys_prove(*keys, SMBKEYS_SIGN);
			return NULL;
		}
		smbkeys_unref(keys);
	}
	return not_derived;
}

const char *
logon_keys_bound(const struct logon_facts *f, struct crypt *crypt, const uint8_t *answer,
    size_t len, const struct smbkeys *session, struct signkey *signing)
{
	if (session == NULL)
		return "the session's first channel is opaque";
	for (int v = 0; v < KEYS_VARIANTS; v++)
		if (signkey_derive(signing, f, (enum keys_variant)v) == 0 &&
		    believable(crypt, signing, answer, len))
			return NULL;
	return not_derived;
}
