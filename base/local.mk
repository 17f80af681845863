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
	base/log.c \
	base/log.h \
	base/logsink.c \
	base/logsink.h \
	base/magic.h \
	base/rd.c \
	base/rd.h \
	base/wr.c \
	base/wr.h
