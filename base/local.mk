# the library of base/
noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/addr.c \
	base/addr.h \
	base/buf.h \
	base/clock.h \
	base/cpus.c \
	base/cpus.h \
	base/fdpass.c \
	base/fdpass.h \
	base/guid.h \
	base/hash.h \
	base/keyfile.c \
	base/keyfile.h \
	base/keytab.c \
	base/keytab.h \
	base/log.c \
	base/log.h \
	base/logevent.tbl.h \
	base/logline.c \
	base/logline.h \
	base/logrecord.h \
	base/logsink.c \
	base/logsink.h \
	base/magic.h \
	base/ownaddr.c \
	base/ownaddr.h \
	base/plain.c \
	base/plain.h \
	base/rd.c \
	base/rd.h \
	base/siphash.c \
	base/siphash.h \
	base/syscalls.c \
	base/syscalls.h \
	base/tapmsg.c \
	base/tapmsg.h \
	base/tlv.c \
	base/tlv.h \
	base/wr.c \
	base/wr.h
