# Tests. `make check` runs the unit tests; prove runs them and the end-to-end tests (contrib/test).
TEST_EXTENSIONS = .t
T_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = srcdir='$(top_srcdir)'; export srcdir;

# Checks of the tree itself; they look for the build in the working directory.
TREE_TESTS = t/00-layers.t t/01-headers.t t/02-filemap.t t/03-globals.t
TESTS += $(TREE_TESTS)

UNIT_TESTS =
if HAVE_CMOCKA
UNIT_TESTS += t/10-base.t t/20-hdr.t t/21-neg.t t/22-ifinfo.t t/23-bytes.t t/24-front.t \
	t/30-policy.t t/31-conf.t t/35-auth.t t/36-seal.t t/37-token.t t/38-keyd.t t/40-state.t \
	t/41-redis.t t/42-cluster.t \
	t/50-pump.t t/51-split.t t/52-place.t t/53-mediate.t t/54-keyed.t t/55-ctl.t t/56-smb1.t t/57-logon.t \
	t/58-source.t
endif
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# Each unit test links its own library and those below it, so the linker keeps the layers.
LINK_BASE = base/libbase.a $(CMOCKA_LIBS)
LINK_SMB = smb/libsmb.a $(LINK_BASE)
LINK_POLICY = policy/libpolicy.a $(LINK_BASE) $(CONFUSE_LIBS)
LINK_STATE = state/libstate.a $(LINK_BASE) $(EVENT_LIBS) $(HIREDIS_LIBS)
LINK_AUTH = auth/libauth.a $(LINK_SMB) $(CRYPTO_LIBS)
LINK_PROXY = $(GATE_LIBS) $(CMOCKA_LIBS) $(GATE_EXTLIBS)

t_10_base_t_SOURCES = t/10-base.c
t_10_base_t_LDADD = $(LINK_BASE)
t_20_hdr_t_SOURCES = t/20-hdr.c t/vectors.h t/walk.h
t_20_hdr_t_LDADD = $(LINK_SMB)
t_21_neg_t_SOURCES = t/21-neg.c t/vectors.h t/walk.h
t_21_neg_t_LDADD = $(LINK_SMB)
t_22_ifinfo_t_SOURCES = t/22-ifinfo.c t/vectors.h t/walk.h
t_22_ifinfo_t_LDADD = $(LINK_SMB)
t_23_bytes_t_SOURCES = t/23-bytes.c t/vectors.h t/walk.h
t_23_bytes_t_LDADD = $(LINK_SMB)
t_24_front_t_SOURCES = t/24-front.c t/vectors.h t/walkfront.h
t_24_front_t_LDADD = $(LINK_PROXY)
t_30_policy_t_SOURCES = t/30-policy.c t/policy.h
t_30_policy_t_LDADD = $(LINK_POLICY)
t_31_conf_t_SOURCES = t/31-conf.c t/policy.h
t_31_conf_t_LDADD = $(LINK_PROXY)
t_35_auth_t_SOURCES = t/35-auth.c t/authvec.h t/vectors.h
t_35_auth_t_LDADD = $(LINK_AUTH)
t_36_seal_t_SOURCES = t/36-seal.c t/authvec.h t/vectors.h
t_36_seal_t_LDADD = $(LINK_AUTH)
t_37_token_t_SOURCES = t/37-token.c t/vectors.h t/walk.h t/walkauth.h
t_37_token_t_LDADD = $(LINK_AUTH)
t_40_state_t_SOURCES = t/40-state.c
t_40_state_t_LDADD = $(LINK_STATE)
t_41_redis_t_SOURCES = t/41-redis.c
t_41_redis_t_LDADD = $(LINK_STATE)
t_42_cluster_t_SOURCES = t/42-cluster.c
t_42_cluster_t_LDADD = $(LINK_AUTH)
t_50_pump_t_SOURCES = t/50-pump.c
t_50_pump_t_LDADD = $(LINK_PROXY)
t_51_split_t_SOURCES = t/51-split.c t/proxy/talk.c t/proxy/talk.h
t_51_split_t_LDADD = $(LINK_PROXY)
t_52_place_t_SOURCES = t/52-place.c
t_52_place_t_LDADD = $(LINK_PROXY)
t_53_mediate_t_SOURCES = t/53-mediate.c t/proxy/made.c t/proxy/made.h t/proxy/talk.c t/proxy/talk.h
t_54_keyed_t_SOURCES = t/54-keyed.c t/proxy/made.c t/proxy/made.h t/proxy/talk.c t/proxy/talk.h
t_54_keyed_t_LDADD = $(LINK_PROXY)
t_53_mediate_t_LDADD = $(LINK_PROXY)
t_56_smb1_t_SOURCES = t/56-smb1.c t/proxy/made.c t/proxy/made.h t/proxy/talk.c t/proxy/talk.h
t_56_smb1_t_LDADD = $(LINK_PROXY)
t_57_logon_t_SOURCES = t/57-logon.c t/proxy/made.c t/proxy/made.h t/proxy/talk.c t/proxy/talk.h
t_57_logon_t_LDADD = $(LINK_PROXY)
t_58_source_t_SOURCES = t/58-source.c
t_58_source_t_LDADD = $(LINK_PROXY)
t_55_ctl_t_SOURCES = t/55-ctl.c
t_55_ctl_t_LDADD = $(LINK_PROXY)

t_38_keyd_t_SOURCES = t/38-keyd.c t/vectors.h keyd/arena.c keyd/apreq.c keyd/keytab.c \
	keyd/ntlm.c
t_38_keyd_t_LDADD = $(LINK_AUTH)

# What t/68-keyd.t runs: real tickets, and smbgate's side of smbgate-keyd without SMB.
check_PROGRAMS += t/gss t/keyc
t_gss_SOURCES = t/lab/gss.c
t_gss_CFLAGS = $(AM_CFLAGS) $(KRB5_GSSAPI_CFLAGS)
t_gss_LDADD = $(KRB5_GSSAPI_LIBS) $(KRB5_LIBS)
t_keyc_SOURCES = t/lab/keyc.c
t_keyc_LDADD = $(GATE_LIBS) $(GATE_EXTLIBS)

# End to end: prove runs these, and each says what it wants of the machine.
E2E_TESTS = \
	t/60-clients.t \
	t/61-placement.t \
	t/62-bind.t \
	t/63-ifinfo.t \
	t/64-reload.t \
	t/65-health.t \
	t/66-ctl.t \
	t/67-blackhole.t \
	t/68-keyd.t \
	t/69-door.t \
	t/70-smbtorture.t \
	t/71-splice.t \
	t/72-keyed.t \
	t/73-nonces.t \
	t/74-opaque.t \
	t/75-torture-keyed.t \
	t/76-netbios.t \
	t/77-proxyproto.t \
	t/78-vcnumber.t \
	t/80-badinput.t \
	t/81-source.t \
	t/82-intercept.t \
	t/83-vpn-gateway.t \
	t/84-redis.t \
	t/85-faults.t \
	t/86-sharedkeys.t \
	t/87-proxydeath.t \
	t/88-hostileredis.t \
	t/89-cluster.t \
	t/89-manyclaims.t \
	t/90-quickstart.t \
	t/91-instructions.t

EXTRA_DIST += $(TREE_TESTS) $(E2E_TESTS) t/frames \
	t/lab/ad.py \
	t/lab/capture.py \
	t/lab/clients.py \
	t/lab/fake.py \
	t/lab/front.py \
	t/lab/gate.py \
	t/lab/keyed.py \
	t/lab/krb.py \
	t/lab/model.py \
	t/lab/netns.py \
	t/lab/node.py \
	t/lab/record.py \
	t/lab/redis.py \
	t/lab/several.py \
	t/lab/smb1.py \
	t/lab/smb2.py \
	t/lab/tap.py \
	t/lab/vpn.py

# libFuzzer targets: `make fuzz`, then run t/fuzz/fuzz-NAME by hand with a corpus directory.
FUZZERS = smb2 ifinfo auth front redis
# What a target needs beyond smb/ and base/.
FUZZ_AUTH = auth/crypt.c auth/kdf.c auth/keys.c auth/ntlm.c auth/preauth.c auth/seal.c auth/sign.c \
	auth/spnego.c
FUZZ_REDIS = state/facts.c state/exceptions.c state/record.c state/reply.c state/shared.c state/fault.c
FUZZ_CC = clang
FUZZ_CFLAGS = -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
EXTRA_DIST += t/fuzz/fuzz-smb2.c t/fuzz/fuzz-ifinfo.c t/fuzz/fuzz-auth.c t/fuzz/fuzz-front.c \
	t/fuzz/fuzz-redis.c
CLEANFILES = t/fuzz/fuzz-smb2 t/fuzz/fuzz-ifinfo t/fuzz/fuzz-auth t/fuzz/fuzz-front t/fuzz/fuzz-redis
.PHONY: fuzz
fuzz:
	@$(MKDIR_P) t/fuzz
	for f in $(FUZZERS); do \
		more=; \
		if test $$f = auth; then \
			for s in $(FUZZ_AUTH); do more="$$more $(top_srcdir)/$$s"; done; \
			more="$$more $(CRYPTO_CFLAGS) $(CRYPTO_LIBS)"; \
		elif test $$f = front; then \
			more=$(top_srcdir)/proxy/ppheader.c; \
		elif test $$f = redis; then \
			for s in $(FUZZ_REDIS); do more="$$more $(top_srcdir)/$$s"; done; \
			more="$$more $(HIREDIS_CFLAGS) $(HIREDIS_LIBS)"; \
		fi; \
		$(FUZZ_CC) -std=gnu11 $(FUZZ_CFLAGS) -I$(top_srcdir) -I$(top_builddir) -I. \
			-o t/fuzz/fuzz-$$f $(top_srcdir)/t/fuzz/fuzz-$$f.c \
			$(top_srcdir)/smb/*.c $(top_srcdir)/base/*.c $$more || exit 1; \
	done
