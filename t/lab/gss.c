/* gss.c: both ends of a Kerberos logon, for tests: prints its tokens and the key SMB would use */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>

/* The longest header of a GSS token, RFC 2743 3.1, and the two bytes of its kind. */
#define KRB5_OID_DER "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"

static void
check(const char *what, OM_uint32 major, OM_uint32 minor)
{
	gss_buffer_desc text;
	OM_uint32 more = 0, m;

	if (!GSS_ERROR(major))
		return;
	fprintf(stderr, "%s: ", what);
	do {
		gss_display_status(&m, minor != 0 ? minor : major,
		    minor != 0 ? GSS_C_MECH_CODE : GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &text);
		fprintf(stderr, "%.*s ", (int)text.length, (const char *)text.value);
	} while (more != 0);
	fputs("\n", stderr);
	exit(EXIT_FAILURE);
}

/* Without the GSS header, where there is one. */
static void
print_token(const char *name, const gss_buffer_desc *t)
{
	const unsigned char *p = t->value;
	size_t n = t->length, i = 2;

	if (n > 20 && p[0] == 0x60) {
		if (p[1] > 0x80)
			i += p[1] & 0x7f;
		/* A key can begin like a token. */
		if (n >= i + 13 && memcmp(p + i, KRB5_OID_DER, 11) == 0)
			i += 13;
		else
			i = 0;
	} else {
		i = 0;
	}
	printf("%s ", name);
	for (; i < n; i++)
		printf("%02x", p[i]);
	puts("");
}

static gss_buffer_desc
session_key(gss_ctx_id_t ctx)
{
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	OM_uint32 minor, major;

	major = gss_inquire_sec_context_by_oid(&minor, ctx, GSS_C_INQ_SSPI_SESSION_KEY, &set);
	check("session key", major, minor);
	return set->elements[0];
}

static void
krb5_check(const char *what, krb5_error_code e)
{
	if (e == 0)
		return;
	fprintf(stderr, "%s: error %ld\n", what, (long)e);
	exit(EXIT_FAILURE);
}

/* An AP-REQ of a client whose clock is wrong by so many seconds. */
static void
wrong_clock(char *target, long seconds)
{
	krb5_creds want = { .magic = KV5M_CREDS }, *creds;
	krb5_auth_context ac = NULL;
	krb5_keyblock *key;
	gss_buffer_desc b;
	krb5_context ctx;
	krb5_ccache cc;
	krb5_data req;

	krb5_check("context", krb5_init_context(&ctx));
	krb5_check("ccache", krb5_cc_default(ctx, &cc));
	krb5_check("client", krb5_cc_get_principal(ctx, cc, &want.client));
	krb5_check("server", krb5_parse_name(ctx, target, &want.server));
	krb5_check("ticket", krb5_get_credentials(ctx, 0, cc, &want, &creds));
	krb5_check("time", krb5_set_real_time(ctx, (krb5_timestamp)(time(NULL) + seconds), 0));
	krb5_check("AP-REQ", krb5_mk_req_extended(ctx, &ac, AP_OPTS_USE_SUBKEY, NULL, creds, &req));
	krb5_check("key", krb5_auth_con_getsendsubkey(ctx, ac, &key));
	b = (gss_buffer_desc){ .length = req.length, .value = req.data };
	print_token("ap_req", &b);
	b = (gss_buffer_desc){ .length = key->length, .value = key->contents };
	print_token("key", &b);
	puts("--");
}

/* A client without GSS-API: no checksum, and the AP-REP that ap-options ask for. */
static void
bare(char *target)
{
	krb5_auth_context us = NULL, them = NULL;
	krb5_creds want = { .magic = KV5M_CREDS }, *creds;
	krb5_ap_rep_enc_part *part;
	krb5_keyblock *key;
	krb5_keytab keytab;
	gss_buffer_desc b;
	krb5_context ctx;
	krb5_ccache cc;
	krb5_data req, rep;

	krb5_check("context", krb5_init_context(&ctx));
	krb5_check("ccache", krb5_cc_default(ctx, &cc));
	krb5_check("keytab", krb5_kt_default(ctx, &keytab));
	krb5_check("client", krb5_cc_get_principal(ctx, cc, &want.client));
	krb5_check("server", krb5_parse_name(ctx, target, &want.server));
	krb5_check("ticket", krb5_get_credentials(ctx, 0, cc, &want, &creds));
	krb5_check("AP-REQ", krb5_mk_req_extended(ctx, &us, AP_OPTS_USE_SUBKEY |
	    AP_OPTS_MUTUAL_REQUIRED, NULL, creds, &req));
	b = (gss_buffer_desc){ .length = req.length, .value = req.data };
	print_token("ap_req", &b);
	krb5_check("accept", krb5_auth_con_init(ctx, &them));
	krb5_check("accept", krb5_auth_con_setflags(ctx, them, KRB5_AUTH_CONTEXT_USE_SUBKEY));
	krb5_check("accept", krb5_rd_req(ctx, &them, &req, NULL, keytab, NULL, NULL));
	krb5_check("AP-REP", krb5_mk_rep(ctx, them, &rep));
	b = (gss_buffer_desc){ .length = rep.length, .value = rep.data };
	print_token("ap_rep", &b);
	krb5_check("read", krb5_rd_rep(ctx, us, &rep, &part));
	krb5_check("key", krb5_auth_con_getrecvsubkey(ctx, us, &key));
	b = (gss_buffer_desc){ .length = key->length, .value = key->contents };
	print_token("key", &b);
	puts("--");
}

static void
logon(gss_name_t target, OM_uint32 flags)
{
	static const char *const names[] = { "ap_req", "ap_rep", "third" };
	gss_ctx_id_t us = GSS_C_NO_CONTEXT, them = GSS_C_NO_CONTEXT;
	gss_buffer_desc in = { .length = 0 }, out = { .length = 0 }, a, b;
	OM_uint32 minor, major, accepted = 0;

	for (int leg = 0; leg < 3; leg++) {
		if (leg == 1)
			accepted = major = gss_accept_sec_context(&minor, &them,
			    GSS_C_NO_CREDENTIAL, &in, GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, &out,
			    NULL, NULL, NULL);
		else
			major = gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &us, target,
			    GSS_C_NO_OID, flags, 0, GSS_C_NO_CHANNEL_BINDINGS, &in, NULL, &out,
			    NULL, NULL);
		check(names[leg], major, minor);
		if (out.length == 0)
			break;
		print_token(names[leg], &out);
		in = out;
		out = (gss_buffer_desc){ .length = 0 };
	}
	if (accepted == GSS_S_CONTINUE_NEEDED) {
		major = gss_accept_sec_context(&minor, &them, GSS_C_NO_CREDENTIAL, &in,
		    GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, &out, NULL, NULL, NULL);
		check("third", major, minor);
	}
	a = session_key(us);
	b = session_key(them);
	if (a.length != b.length || memcmp(a.value, b.value, a.length) != 0) {
		fputs("the ends have different keys\n", stderr);
		exit(EXIT_FAILURE);
	}
	print_token("key", &a);
	puts("--");
	gss_delete_sec_context(&minor, &us, NULL);
	gss_delete_sec_context(&minor, &them, NULL);
}

static void
one(const char *how, char *principal)
{
	OM_uint32 flags = GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG, minor, major;
	gss_buffer_desc name = { .length = strlen(principal), .value = principal };
	gss_name_t target;

	if (strcmp(how, "fast") == 0) {
		wrong_clock(principal, 7200);
		return;
	}
	if (strcmp(how, "old") == 0) {
		wrong_clock(principal, -25 * 3600);
		return;
	}
	if (strcmp(how, "bare") == 0) {
		bare(principal);
		return;
	}
	if (strcmp(how, "plain") != 0)
		flags |= GSS_C_MUTUAL_FLAG;
	if (strcmp(how, "dce") == 0)
		flags |= GSS_C_DCE_STYLE;
	major = gss_import_name(&minor, &name, GSS_KRB5_NT_PRINCIPAL_NAME, &target);
	check("name", major, minor);
	logon(target, flags);
}

/*
 * gss plain|mutual|dce|bare|fast|old PRINCIPAL N: so many logons, "--" behind each. The environment
 * names ccache, keytab and configuration.
 */
int
main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	for (int i = 0; i < atoi(argv[3]); i++)
		one(argv[1], argv[2]);
	/* Everything is the end of the process's to free. */
	fflush(stdout);
	_Exit(EXIT_SUCCESS);
}
