# smbgate: all but main.c is a library, so that tests can link it
noinst_LIBRARIES += proxy/libproxy.a
proxy_libproxy_a_SOURCES = \
	proxy/conf.c \
	proxy/conf.h \
	proxy/conn.c \
	proxy/conn.h \
	proxy/ctl.c \
	proxy/ctl.h \
	proxy/explain.c \
	proxy/explain.h \
	proxy/first.c \
	proxy/first.h \
	proxy/flow.c \
	proxy/flow.h \
	proxy/gate.c \
	proxy/gate.h \
	proxy/guard.c \
	proxy/guard.h \
	proxy/inside.h \
	proxy/leg.c \
	proxy/leg.h \
	proxy/limits.c \
	proxy/limits.h \
	proxy/listen.c \
	proxy/listen.h \
	proxy/mailbox.c \
	proxy/mailbox.h \
	proxy/opening.c \
	proxy/opening.h \
	proxy/ppheader.c \
	proxy/ppheader.h \
	proxy/prelude.c \
	proxy/prelude.h \
	proxy/privs.c \
	proxy/privs.h \
	proxy/pump.c \
	proxy/pump.h \
	proxy/report.c \
	proxy/report.h \
	proxy/report_state.c \
	proxy/splice.c \
	proxy/splice.h \
	proxy/worker.c \
	proxy/worker.h

sbin_PROGRAMS += proxy/smbgate
proxy_smbgate_SOURCES = proxy/main.c
proxy_smbgate_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
proxy_smbgate_LDADD = $(GATE_LIBS) $(GATE_EXTLIBS) $(SYSTEMD_LIBS) $(CAP_LIBS)
