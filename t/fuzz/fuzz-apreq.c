/* fuzz-apreq.c: libFuzzer target: AP-REQ and AP-REP, here and as MIT's library reads them */
/* for: keyd/apreq.c */
#include "config.h"

#include "keyd/apreq.h"
#include "t/fuzz/mit.h"
#include "t/unit/lib/holds.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(const struct apreq_enc *e, const krb5_enc_data *mit, const uint8_t *p, size_t n)
{
	HOLDS(e->p >= p && e->p + e->n <= p + n);
	HOLDS(mit->enctype < 0 || e->enctype == (uint32_t)mit->enctype);
	HOLDS(e->n == mit->ciphertext.length);
	HOLDS(e->n == 0 || memcmp(e->p, mit->ciphertext.data, e->n) == 0);
}

/* "cifs/nas@REALM" of a ticket, cut as apreq.h has it. */
static void
name_of(char *dst, size_t cap, const krb5_ticket *t)
{
	size_t n = 0;

	for (int i = 0; i <= t->server->length; i++) {
		const krb5_data *d = i < t->server->length ? &t->server->data[i]
		                                           : &t->server->realm;

		if (n < cap - 1 && (i > 0 || i == t->server->length))
			dst[n++] = i < t->server->length ? '/' : '@';
		for (unsigned k = 0; k < d->length && n < cap - 1; k++)
			dst[n++] = d->data[k];
	}
	dst[n] = '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const krb5_data code = { .length = (unsigned)size, .data = (char *)(uintptr_t)data };
	krb5_ap_req *req;
	krb5_ap_rep *rep;
	struct apreq a;
	struct apreq_enc e;
	char name[sizeof(a.server)];
	bool ours = apreq_get(&a, data, size) == 0;

	HOLDS(memchr(a.server, 0, sizeof(a.server)) != NULL);
	if (decode_krb5_ap_req(&code, &req) == 0) {
		if (ours) {
			const krb5_enc_data *t = &req->ticket->enc_part;

			same(&a.ticket, t, data, size);
			same(&a.authenticator, &req->authenticator, data, size);
			HOLDS(t->enctype < 0 || a.enctype == (uint32_t)t->enctype);
			/* No key has a number below 0: what is made of one does not matter. */
			HOLDS(!a.has_kvno || (int32_t)t->kvno < 0 || a.kvno == t->kvno);
			HOLDS(a.mutual == ((req->ap_options & AP_OPTS_MUTUAL_REQUIRED) != 0));
			name_of(name, sizeof(name), req->ticket);
			HOLDS(strcmp(name, a.server) == 0);
		}
		krb5_free_ap_req(NULL, req);
	}
	ours = aprep_get(&e, data, size) == 0;
	if (decode_krb5_ap_rep(&code, &rep) == 0) {
		if (ours)
			same(&e, &rep->enc_part, data, size);
		krb5_free_ap_rep(NULL, rep);
	}
	return 0;
}
