# smbgate: all but main.c is a library, so that tests can link it
noinst_LIBRARIES += daemon/libdaemon.a
daemon_libdaemon_a_SOURCES = \
	daemon/accepted.c \
	daemon/accepted.h \
	daemon/census.c \
	daemon/census.h \
	daemon/clients.c \
	daemon/clients.h \
	daemon/clusters.c \
	daemon/clusters.h \
	daemon/confine.c \
	daemon/confine.h \
	daemon/connlist.c \
	daemon/connlist.h \
	daemon/ctl.c \
	daemon/ctl.h \
	daemon/ctl_bind.c \
	daemon/ctl_env.h \
	daemon/ctl_later.h \
	daemon/ctl_operator.c \
	daemon/ctl_operator.h \
	daemon/ctl_request.c \
	daemon/ctl_request.h \
	daemon/drainer.c \
	daemon/drainer.h \
	daemon/elsewhere.c \
	daemon/elsewhere.h \
	daemon/ends.c \
	daemon/ends.h \
	daemon/errands.c \
	daemon/errands.h \
	daemon/estate.c \
	daemon/estate.h \
	daemon/explain.c \
	daemon/explain.h \
	daemon/explain.tbl.h \
	daemon/explain_cases.c \
	daemon/explain_cases.h \
	daemon/facts.c \
	daemon/facts.h \
	daemon/gate.c \
	daemon/gate.h \
	daemon/gate_bind.c \
	daemon/gate_map.c \
	daemon/gate_priv.h \
	daemon/gate_reload.c \
	daemon/gate_take.c \
	daemon/gauges.c \
	daemon/gauges.h \
	daemon/guard.c \
	daemon/guard.h \
	daemon/guard_confine.c \
	daemon/guard_confine.h \
	daemon/guard_keyd.c \
	daemon/guard_keyd.h \
	daemon/guard_keytab.c \
	daemon/guard_keytab.h \
	daemon/guard_lost.c \
	daemon/guard_lost.h \
	daemon/guard_main.c \
	daemon/guard_main.h \
	daemon/guard_second.c \
	daemon/guard_second.h \
	daemon/guard_start.h \
	daemon/handing.c \
	daemon/handing.h \
	daemon/history.c \
	daemon/history.h \
	daemon/http.c \
	daemon/http.h \
	daemon/http_answer.c \
	daemon/http_answer.h \
	daemon/http_request.c \
	daemon/http_request.h \
	daemon/json.c \
	daemon/json.h \
	daemon/keyfiles.c \
	daemon/keyfiles.h \
	daemon/landlock.c \
	daemon/landlock.h \
	daemon/letgo.c \
	daemon/letgo.h \
	daemon/listeners.c \
	daemon/listeners.h \
	daemon/metrics.c \
	daemon/metrics.h \
	daemon/minute.c \
	daemon/minute.h \
	daemon/listening.h \
	daemon/loglevel.c \
	daemon/loglevel.h \
	daemon/mover.c \
	daemon/mover.h \
	daemon/nodewatch.c \
	daemon/nodewatch.h \
	daemon/page.c \
	daemon/page.h \
	daemon/page_text.c \
	daemon/page_text.h \
	daemon/passed.c \
	daemon/passed.h \
	daemon/places.c \
	daemon/places.h \
	daemon/preflight.c \
	daemon/preflight.h \
	daemon/privs.c \
	daemon/privs.h \
	daemon/process.c \
	daemon/process.h \
	daemon/ready.c \
	daemon/ready.h \
	daemon/report.c \
	daemon/report.h \
	daemon/report_clients.c \
	daemon/report_explain.c \
	daemon/report_explain.h \
	daemon/report_old.c \
	daemon/report_policy.c \
	daemon/report_refusals.c \
	daemon/report_state.c \
	daemon/report_stats.c \
	daemon/report_would.c \
	daemon/scribe.c \
	daemon/scribe.h \
	daemon/service.c \
	daemon/service.h \
	daemon/stand.c \
	daemon/stand.h \
	daemon/talk.c \
	daemon/talk.h \
	daemon/takemsg.c \
	daemon/takemsg.h \
	daemon/takeover.c \
	daemon/takeover.h \
	daemon/tapping.c \
	daemon/tapping.h \
	daemon/view.c \
	daemon/view.h \
	daemon/warnings.c \
	daemon/warnings.h

# The style of the page becomes a C string in the build directory.
EXTRA_DIST += daemon/page.css
BUILT_SOURCES += daemon/page_css.inc
CLEANFILES += daemon/page_css.inc
daemon/page_css.inc: $(top_srcdir)/daemon/page.css
	@$(MKDIR_P) daemon
	$(AM_V_GEN)sed -e '/^\/\*.*\*\/$$/d' -e 's/^[[:blank:]]*//' -e 's/[\\"]/\\&/g' \
		-e 's/.*/"&\\n"/' -e '2s/^/static const char page_style[] = /' -e '$$s/$$/;/' \
		$(top_srcdir)/daemon/page.css >$@.tmp && mv $@.tmp $@
daemon/page.$(OBJEXT): daemon/page_css.inc

sbin_PROGRAMS += daemon/smbgate
daemon_smbgate_SOURCES = daemon/main.c
daemon_smbgate_LDADD = $(GATE_LIBS) $(GATE_EXTLIBS) $(CAP_LIBS) $(SECCOMP_LIBS)
