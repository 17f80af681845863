/* fuzz-authent.c: libFuzzer target: what tickets and authenticators say, and MIT says of them */
/* for: keyd/authent.c auth/der.c */
#include "config.h"

#include "keyd/authent.h"
#include "t/fuzz/mit.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
same_bytes(const uint8_t *p, size_t n, const void *mit, size_t mit_n)
{
	return n == mit_n && (n == 0 || memcmp(p, mit, n) == 0);
}

static void
same_key(const struct authent *a, const krb5_keyblock *k)
{
	HOLDS((a->subkey == NULL) == (k == NULL));
	if (k != NULL)
		HOLDS(same_bytes(a->subkey, a->subkey_len, k->contents, k->length));
}

/* MIT's seconds have 32 bits; a number below 0 is nobody's, whatever is made of it. */
static void
same_time(const struct authent *a, krb5_timestamp ctime, krb5_int32 cusec)
{
	HOLDS((uint32_t)a->ctime == (uint32_t)ctime);
	HOLDS(cusec < 0 || a->cusec == (uint32_t)cusec);
}

static void
fuzz_ticket(const uint8_t *p, size_t n, const krb5_data *code)
{
	struct authent_ticket t;
	bool ours = authent_ticket_get(&t, p, n) == 0;
	krb5_enc_tkt_part *mit;

	if (decode_krb5_enc_tkt_part(code, &mit) != 0)
		return;
	if (ours) {
		HOLDS(mit->session->enctype < 0 ||
		    t.enctype == (uint32_t)mit->session->enctype);
		HOLDS(same_bytes(t.key, t.key_len, mit->session->contents, mit->session->length));
		HOLDS(same_bytes(t.realm.p, t.realm.n, mit->client->realm.data,
		    mit->client->realm.length));
		HOLDS(t.ncomponents == (size_t)mit->client->length);
		for (size_t i = 0; i < t.ncomponents; i++)
			HOLDS(same_bytes(t.component[i].p, t.component[i].n,
			    mit->client->data[i].data, mit->client->data[i].length));
	}
	krb5_free_enc_tkt_part(NULL, mit);
}

static void
fuzz_authenticator(const uint8_t *p, size_t n, const krb5_data *code)
{
	struct authent a;
	bool ours = authent_get(&a, p, n) == 0;
	krb5_authenticator *mit;

	if (decode_krb5_authenticator(code, &mit) != 0)
		return;
	if (ours) {
		const krb5_checksum *c = mit->checksum;

		same_time(&a, mit->ctime, mit->cusec);
		same_key(&a, mit->subkey);
		HOLDS(a.has_flags == (c != NULL && c->checksum_type == 0x8003 && c->length >= 24));
		HOLDS(!a.has_flags || a.flags == reader_u32(c->contents + 20));
	}
	krb5_free_authenticator(NULL, mit);
}

static void
fuzz_reply(const uint8_t *p, size_t n, const krb5_data *code)
{
	struct authent a;
	bool ours = authent_reply_get(&a, p, n) == 0;
	krb5_ap_rep_enc_part *mit;

	if (decode_krb5_ap_rep_enc_part(code, &mit) != 0)
		return;
	if (ours) {
		same_time(&a, mit->ctime, mit->cusec);
		same_key(&a, mit->subkey);
	}
	krb5_free_ap_rep_enc_part(NULL, mit);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const krb5_data code = { .length = (unsigned)size, .data = (char *)(uintptr_t)data };

	fuzz_ticket(data, size, &code);
	fuzz_authenticator(data, size, &code);
	fuzz_reply(data, size, &code);
	return 0;
}
