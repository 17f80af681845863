# smbgate: all but main.c is a library, so that tests can link it
noinst_LIBRARIES += daemon/libdaemon.a
daemon_libdaemon_a_SOURCES = \
	daemon/connlist.c \
	daemon/connlist.h \
	daemon/ctl.c \
	daemon/ctl.h \
	daemon/ctl_bind.c \
	daemon/ctl_env.h \
	daemon/ctl_request.c \
	daemon/ctl_request.h \
	daemon/explain.c \
	daemon/explain.h \
	daemon/gate.c \
	daemon/gate.h \
	daemon/gate_bind.c \
	daemon/gate_map.c \
	daemon/gate_priv.h \
	daemon/gate_reload.c \
	daemon/guard.c \
	daemon/guard.h \
	daemon/guard_keyd.c \
	daemon/guard_keyd.h \
	daemon/guard_keytab.c \
	daemon/guard_keytab.h \
	daemon/guard_main.c \
	daemon/guard_main.h \
	daemon/guard_start.h \
	daemon/json.c \
	daemon/json.h \
	daemon/listeners.c \
	daemon/listeners.h \
	daemon/minute.c \
	daemon/minute.h \
	daemon/places.c \
	daemon/places.h \
	daemon/privs.c \
	daemon/privs.h \
	daemon/report.c \
	daemon/report.h \
	daemon/report_clients.c \
	daemon/report_policy.c \
	daemon/report_state.c \
	daemon/report_stats.c

sbin_PROGRAMS += daemon/smbgate
daemon_smbgate_SOURCES = daemon/main.c
daemon_smbgate_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
daemon_smbgate_LDADD = $(GATE_LIBS) $(GATE_EXTLIBS) $(SYSTEMD_LIBS) $(CAP_LIBS)
