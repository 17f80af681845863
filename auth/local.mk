# the library of auth/
noinst_LIBRARIES += auth/libauth.a
auth_libauth_a_SOURCES = \
	auth/cluster.c \
	auth/cluster.h \
	auth/crypt.c \
	auth/crypt.h \
	auth/kdf.c \
	auth/kdf.h \
	auth/keyc.c \
	auth/keyc.h \
	auth/keyhash.c \
	auth/keyhash.h \
	auth/keymsg.c \
	auth/keymsg.h \
	auth/keys.c \
	auth/keys.h \
	auth/ntlm.c \
	auth/ntlm.h \
	auth/preauth.c \
	auth/preauth.h \
	auth/seal.c \
	auth/seal.h \
	auth/secret.c \
	auth/secret.h \
	auth/sign.c \
	auth/sign.h \
	auth/spnego.c \
	auth/spnego.h

# The program with the keytab: its sources are nobody else's, and no other links libkrb5. The
# checks of its parts link them one by one.
sbin_PROGRAMS += auth/smbgate-keyd
auth_smbgate_keyd_SOURCES = \
	auth/arena.c \
	auth/arena.h \
	auth/keyd.c \
	auth/keyd.h \
	auth/keyd_apreq.c \
	auth/keyd_apreq.h \
	auth/keyd_exchange.c \
	auth/keyd_exchange.h \
	auth/keyd_keys.c \
	auth/keyd_keys.h \
	auth/keyd_keytab.c \
	auth/keyd_keytab.h \
	auth/keyd_krb5.c \
	auth/keyd_krb5.h \
	auth/keyd_ntlm.c \
	auth/keyd_ntlm.h \
	auth/keyd_sandbox.c \
	auth/keyd_sandbox.h
auth_smbgate_keyd_CFLAGS = $(AM_CFLAGS) $(KRB5_CFLAGS) $(SECCOMP_CFLAGS)
auth_smbgate_keyd_LDADD = auth/libauth.a base/libbase.a $(KRB5_LIBS) $(SECCOMP_LIBS) $(CRYPTO_LIBS)
