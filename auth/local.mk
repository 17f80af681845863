# the library of auth/
noinst_LIBRARIES += auth/libauth.a
auth_libauth_a_SOURCES = \
	auth/cluster.c \
	auth/cluster.h \
	auth/crypt.c \
	auth/crypt.h \
	auth/der.c \
	auth/der.h \
	auth/kdf.c \
	auth/kdf.h \
	auth/keyc.c \
	auth/keyc.h \
	auth/keyc_priv.h \
	auth/keyhash.c \
	auth/keyhash.h \
	auth/keymsg.c \
	auth/keymsg.h \
	auth/keyq.c \
	auth/keyresult.h \
	auth/keys.c \
	auth/keys.h \
	auth/keysend.c \
	auth/keywait.c \
	auth/keywatch.h \
	auth/keyx.c \
	auth/keyx.h \
	auth/nokey.c \
	auth/nokey.h \
	auth/nokey.tbl.h \
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
	auth/spnego.h \
	auth/tls.c \
	auth/tls.h
