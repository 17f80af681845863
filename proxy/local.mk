# the library of proxy/
noinst_LIBRARIES += proxy/libproxy.a
proxy_libproxy_a_SOURCES = \
	proxy/conn.c \
	proxy/conn.h \
	proxy/conn_priv.h \
	proxy/env.h \
	proxy/first.c \
	proxy/first.h \
	proxy/held.c \
	proxy/held.h \
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
	proxy/patience.c \
	proxy/patience.h \
	proxy/ppheader.c \
	proxy/ppheader.h \
	proxy/prelude.c \
	proxy/prelude.h \
	proxy/progress.c \
	proxy/progress.h \
	proxy/pump.c \
	proxy/pump.h \
	proxy/recv.c \
	proxy/recv.h \
	proxy/send.c \
	proxy/send.h \
	proxy/splice.c \
	proxy/splice.h \
	proxy/stage.c \
	proxy/stage.h \
	proxy/stage.tbl.h \
	proxy/turn.c \
	proxy/turn.h \
	proxy/worker.c \
	proxy/worker.h \
	proxy/worker_orders.c
