# the library of auth/
noinst_LIBRARIES += auth/libauth.a
auth_libauth_a_SOURCES = \
	auth/keyhash.c \
	auth/keyhash.h \
	auth/keyc.h \
	auth/secret.c \
	auth/secret.h
