# The program with the keytab: its sources are nobody else's, and no other links libkrb5. The
# checks of its parts link them one by one.
sbin_PROGRAMS += keyd/smbgate-keyd
keyd_smbgate_keyd_SOURCES = \
	keyd/answer.h \
	keyd/apreq.c \
	keyd/apreq.h \
	keyd/arena.c \
	keyd/arena.h \
	keyd/authent.c \
	keyd/authent.h \
	keyd/channel.c \
	keyd/channel.h \
	keyd/exchange.c \
	keyd/exchange.h \
	keyd/heap.c \
	keyd/heap.h \
	keyd/keys.c \
	keyd/keys.h \
	keyd/krb5.c \
	keyd/krb5.h \
	keyd/main.c \
	keyd/ntlm.c \
	keyd/ntlm.h \
	keyd/ntlmhash.c \
	keyd/ntlmhash.h \
	keyd/rules.c \
	keyd/rules.h \
	keyd/sandbox.c \
	keyd/sandbox.h \
	keyd/seen.c \
	keyd/seen.h
keyd_smbgate_keyd_CFLAGS = $(AM_CFLAGS) $(KRB5_CFLAGS)
keyd_smbgate_keyd_LDADD = auth/libauth.a base/libbase.a $(KRB5_LIBS) $(SECCOMP_LIBS) $(CRYPTO_LIBS)
