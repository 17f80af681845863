# Tests. `make check` runs the unit tests; prove runs those and the end-to-end ones (contrib/test).
TEST_EXTENSIONS = .t
T_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = srcdir='$(top_srcdir)'; PYTHONDONTWRITEBYTECODE=1; \
	export srcdir PYTHONDONTWRITEBYTECODE;

# Checks of the tree itself; they look for the build in the working directory.
TREE_TESTS = t/tree/layers.t t/tree/circles.t t/tree/headers.t t/tree/filemap.t t/tree/globals.t \
	t/tree/length.t t/tree/lint.t t/tree/manuals.t t/tree/names.t t/tree/settings.t \
	t/tree/truth.t
TESTS += $(TREE_TESTS)

UNIT_TESTS =
if HAVE_CMOCKA
UNIT_TESTS += \
	t/unit/auth-cluster.t \
	t/unit/auth-der.t \
	t/unit/auth-keyq.t \
	t/unit/auth-keys.t \
	t/unit/auth-ntlm.t \
	t/unit/auth-seal.t \
	t/unit/auth-tokens.t \
	t/unit/base-cpus.t \
	t/unit/base-log.t \
	t/unit/base-logline.t \
	t/unit/base-fdpass.t \
	t/unit/base-keyfile.t \
	t/unit/base-tlv.t \
	t/unit/base.t \
	t/unit/ctl.t \
	t/unit/ctl-packets.t \
	t/unit/daemon-ctl.t \
	t/unit/daemon-clusters.t \
	t/unit/daemon-elsewhere.t \
	t/unit/daemon-explain.t \
	t/unit/daemon-http.t \
	t/unit/daemon-ends.t \
	t/unit/daemon-letgo.t \
	t/unit/daemon-listeners.t \
	t/unit/daemon-mover.t \
	t/unit/daemon-passed.t \
	t/unit/daemon-places.t \
	t/unit/daemon-process.t \
	t/unit/daemon-report.t \
	t/unit/daemon-scribe.t \
	t/unit/inspect-decisions.t \
	t/unit/inspect-keyed.t \
	t/unit/inspect-logon.t \
	t/unit/inspect-mediate.t \
	t/unit/inspect-parts.t \
	t/unit/inspect-negotiate.t \
	t/unit/inspect-opens.t \
	t/unit/inspect-record.t \
	t/unit/inspect-sessions.t \
	t/unit/inspect-sharing.t \
	t/unit/inspect-smb1.t \
	t/unit/inspect-vc-reset.t \
	t/unit/inspect-who.t \
	t/unit/inspect-filter.t \
	t/unit/daemon-view.t \
	t/unit/keyd-channel.t \
	t/unit/keyd-keytab.t \
	t/unit/keyd-ntlm.t \
	t/unit/keyd-process.t \
	t/unit/keyd-rules.t \
	t/unit/keyd-tickets.t \
	t/unit/nodes-agent.t \
	t/unit/nodes-dial.t \
	t/unit/nodes-doubt.t \
	t/unit/nodes-node.t \
	t/unit/nodes-place.t \
	t/unit/nodes-probe.t \
	t/unit/nodes-source.t \
	t/unit/policy-bad.t \
	t/unit/policy-conf.t \
	t/unit/policy-diff.t \
	t/unit/policy-lists.t \
	t/unit/policy-policy.t \
	t/unit/policy-values.t \
	t/unit/proxy-awake.t \
	t/unit/proxy-describe.t \
	t/unit/proxy-edges.t \
	t/unit/proxy-evidence.t \
	t/unit/proxy-front.t \
	t/unit/proxy-limits.t \
	t/unit/proxy-lost.t \
	t/unit/proxy-moving.t \
	t/unit/proxy-parting.t \
	t/unit/proxy-pump.t \
	t/unit/proxy-split.t \
	t/unit/proxy-stage.t \
	t/unit/proxy-tap.t \
	t/unit/proxy-waits.t \
	t/unit/smb-compress.t \
	t/unit/smb-hdr.t \
	t/unit/smb-ifinfo.t \
	t/unit/smb-neg.t \
	t/unit/smb-recordings.t \
	t/unit/daemon-inherit.t \
	t/unit/state-facts.t \
	t/unit/state-local.t \
	t/unit/state-orders.t \
	t/unit/state-queries.t \
	t/unit/state-record.t \
	t/unit/state-reply.t \
	t/unit/state-rests.t \
	t/unit/state-shared.t \
	t/unit/state-wake.t
endif
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# Each unit test links its own library and those below it, so the linker keeps the layers.
LINK_BASE = base/libbase.a $(CMOCKA_LIBS)
LINK_SMB = smb/libsmb.a $(LINK_BASE)
LINK_POLICY = policy/libpolicy.a $(LINK_BASE) $(CONFUSE_LIBS) $(JANSSON_LIBS)
LINK_STATE = state/libstate.a $(LINK_BASE) $(EVENT_LIBS) $(HIREDIS_LIBS)
LINK_AUTH = auth/libauth.a $(LINK_SMB) $(CRYPTO_LIBS)
LINK_NODES = nodes/libnodes.a auth/libauth.a policy/libpolicy.a state/libstate.a stats/libstats.a \
	$(LINK_SMB) $(CRYPTO_LIBS) $(CONFUSE_LIBS) $(JANSSON_LIBS) $(EVENT_LIBS) $(HIREDIS_LIBS)
LINK_INSPECT = inspect/libinspect.a $(LINK_NODES)
LINK_PROXY = proxy/libproxy.a $(LINK_INSPECT)
# What t/unit/lib/memory.c stands between.
WRAP_MEMORY = -Wl,--wrap=strdup,--wrap=calloc,--wrap=reallocarray
LINK_DAEMON = $(GATE_LIBS) $(CMOCKA_LIBS) $(GATE_EXTLIBS) $(CAP_LIBS) $(SECCOMP_LIBS)

t_unit_auth_cluster_t_SOURCES = t/unit/auth-cluster.c
t_unit_auth_cluster_t_LDADD = $(LINK_AUTH)
t_unit_auth_der_t_SOURCES = t/unit/auth-der.c
t_unit_auth_der_t_LDADD = $(LINK_AUTH)
t_unit_auth_keyq_t_SOURCES = t/unit/auth-keyq.c
t_unit_auth_keyq_t_LDADD = $(LINK_AUTH)
t_unit_auth_keys_t_SOURCES = t/unit/auth-keys.c t/unit/lib/authvec.h t/unit/lib/vectors.h
t_unit_auth_keys_t_LDADD = $(LINK_AUTH)
t_unit_auth_ntlm_t_SOURCES = t/unit/auth-ntlm.c t/unit/lib/blob.c t/unit/lib/blob.h \
	t/unit/lib/vectors.h t/unit/lib/walk.h t/unit/lib/walkauth.h
t_unit_auth_ntlm_t_LDADD = $(LINK_AUTH)
t_unit_auth_seal_t_SOURCES = t/unit/auth-seal.c t/unit/lib/authvec.h t/unit/lib/vectors.h
t_unit_auth_seal_t_LDADD = $(LINK_AUTH)
t_unit_auth_tokens_t_SOURCES = t/unit/auth-tokens.c t/unit/lib/blob.c t/unit/lib/blob.h \
	t/unit/lib/vectors.h t/unit/lib/walk.h t/unit/lib/walkauth.h
t_unit_auth_tokens_t_LDADD = $(LINK_AUTH)
t_unit_base_cpus_t_SOURCES = t/unit/base-cpus.c
t_unit_base_cpus_t_LDADD = $(LINK_BASE)
t_unit_base_log_t_SOURCES = t/unit/base-log.c
t_unit_base_log_t_LDADD = $(LINK_BASE)
t_unit_base_logline_t_SOURCES = t/unit/base-logline.c
t_unit_base_logline_t_LDADD = $(LINK_BASE) $(JANSSON_LIBS)
t_unit_base_fdpass_t_SOURCES = t/unit/base-fdpass.c
t_unit_base_fdpass_t_LDADD = $(LINK_BASE)
t_unit_base_keyfile_t_SOURCES = t/unit/base-keyfile.c
t_unit_base_keyfile_t_LDADD = $(LINK_BASE)
t_unit_base_tlv_t_SOURCES = t/unit/base-tlv.c
t_unit_base_tlv_t_LDADD = $(LINK_BASE)
t_unit_base_t_SOURCES = t/unit/base.c
t_unit_base_t_LDADD = $(LINK_BASE)
t_unit_ctl_t_SOURCES = t/unit/ctl.c ctl/negotiate.c \
	policy/nearest.c ctl/show_stats.c ctl/table.c ctl/tproxy.c
t_unit_ctl_t_LDADD = $(LINK_BASE) $(JANSSON_LIBS)
t_unit_ctl_packets_t_SOURCES = t/unit/ctl-packets.c ctl/packets.c ctl/pcapng.c
t_unit_ctl_packets_t_LDADD = $(LINK_BASE)
t_unit_daemon_passed_t_SOURCES = t/unit/daemon-passed.c
t_unit_daemon_passed_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_places_t_SOURCES = t/unit/daemon-places.c
t_unit_daemon_places_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_process_t_SOURCES = t/unit/daemon-process.c
t_unit_daemon_process_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_report_t_SOURCES = t/unit/daemon-report.c t/unit/lib/ctlsocket.c \
	t/unit/lib/ctlsocket.h
t_unit_daemon_report_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_scribe_t_SOURCES = t/unit/daemon-scribe.c
t_unit_daemon_scribe_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_scribe_t_LDFLAGS = -Wl,--wrap=mailbox_post
t_unit_daemon_http_t_SOURCES = t/unit/daemon-http.c
t_unit_daemon_http_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_ctl_t_SOURCES = t/unit/daemon-ctl.c t/unit/lib/ctlsocket.c t/unit/lib/ctlsocket.h
t_unit_daemon_ctl_t_LDADD = $(LINK_DAEMON)
t_unit_inspect_decisions_t_SOURCES = t/unit/inspect-decisions.c t/unit/lib/made.c \
	t/unit/lib/made.h t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_decisions_t_LDADD = $(LINK_PROXY)
t_unit_inspect_keyed_t_SOURCES = t/unit/inspect-keyed.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_keyed_t_LDADD = $(LINK_PROXY)
t_unit_inspect_logon_t_SOURCES = t/unit/inspect-logon.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_logon_t_LDADD = $(LINK_PROXY)
t_unit_inspect_mediate_t_SOURCES = t/unit/inspect-mediate.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_mediate_t_LDADD = $(LINK_PROXY)
t_unit_inspect_parts_t_SOURCES = t/unit/inspect-parts.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_parts_t_LDADD = $(LINK_PROXY)
t_unit_inspect_negotiate_t_SOURCES = t/unit/inspect-negotiate.c t/unit/lib/made.c \
	t/unit/lib/made.h t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_negotiate_t_LDADD = $(LINK_PROXY)
t_unit_inspect_sharing_t_SOURCES = t/unit/inspect-sharing.c t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_sharing_t_LDADD = $(LINK_PROXY)
t_unit_inspect_record_t_SOURCES = t/unit/inspect-record.c t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_record_t_LDADD = $(LINK_PROXY)
EXTRA_DIST += t/records/connection-1 t/records/takeover-1
t_unit_inspect_opens_t_SOURCES = t/unit/inspect-opens.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_opens_t_LDADD = $(LINK_PROXY)
t_unit_inspect_sessions_t_SOURCES = t/unit/inspect-sessions.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_sessions_t_LDADD = $(LINK_PROXY)
t_unit_inspect_smb1_t_SOURCES = t/unit/inspect-smb1.c t/unit/lib/made.c t/unit/lib/made.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_inspect_smb1_t_LDADD = $(LINK_PROXY)
t_unit_nodes_node_t_SOURCES = t/unit/nodes-node.c
t_unit_nodes_node_t_LDADD = $(LINK_NODES)
t_unit_daemon_clusters_t_SOURCES = t/unit/daemon-clusters.c
t_unit_daemon_clusters_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_elsewhere_t_SOURCES = t/unit/daemon-elsewhere.c
t_unit_daemon_elsewhere_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_explain_t_SOURCES = t/unit/daemon-explain.c
t_unit_daemon_explain_t_LDADD = $(LINK_DAEMON)
t_unit_proxy_parting_t_SOURCES = t/unit/proxy-parting.c proxy/parting.c
t_unit_proxy_parting_t_LDADD = $(LINK_BASE)
t_unit_daemon_ends_t_SOURCES = t/unit/daemon-ends.c
t_unit_daemon_ends_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_letgo_t_SOURCES = t/unit/daemon-letgo.c
t_unit_daemon_letgo_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_mover_t_SOURCES = t/unit/daemon-mover.c
t_unit_daemon_mover_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_inherit_t_SOURCES = t/unit/daemon-inherit.c
t_unit_daemon_inherit_t_LDADD = $(LINK_DAEMON)
t_unit_daemon_listeners_t_SOURCES = t/unit/daemon-listeners.c
t_unit_daemon_listeners_t_LDADD = $(LINK_DAEMON)
t_unit_nodes_agent_t_SOURCES = t/unit/nodes-agent.c
t_unit_nodes_agent_t_LDADD = $(LINK_NODES)
t_unit_nodes_dial_t_SOURCES = t/unit/nodes-dial.c
t_unit_nodes_dial_t_LDADD = $(LINK_NODES)
t_unit_nodes_doubt_t_SOURCES = t/unit/nodes-doubt.c
t_unit_nodes_doubt_t_LDADD = $(LINK_NODES)
t_unit_nodes_probe_t_SOURCES = t/unit/nodes-probe.c
t_unit_nodes_probe_t_LDADD = $(LINK_NODES)
t_unit_nodes_probe_t_LDFLAGS = -Wl,--wrap=socket,--wrap=connect,--wrap=getsockopt \
	-Wl,--wrap=send,--wrap=recv,--wrap=event_new
t_unit_inspect_vc_reset_t_SOURCES = t/unit/inspect-vc-reset.c
t_unit_inspect_vc_reset_t_LDADD = $(LINK_INSPECT)
t_unit_inspect_who_t_SOURCES = t/unit/inspect-who.c
t_unit_inspect_who_t_LDADD = $(LINK_INSPECT)
t_unit_inspect_filter_t_SOURCES = t/unit/inspect-filter.c
t_unit_inspect_filter_t_LDADD = $(LINK_INSPECT)
t_unit_daemon_view_t_SOURCES = t/unit/daemon-view.c
t_unit_daemon_view_t_LDADD = $(LINK_DAEMON)
t_unit_nodes_place_t_SOURCES = t/unit/nodes-place.c
t_unit_nodes_place_t_LDADD = $(LINK_NODES)
t_unit_nodes_source_t_SOURCES = t/unit/nodes-source.c
t_unit_nodes_source_t_LDADD = $(LINK_INSPECT)
t_unit_policy_bad_t_SOURCES = t/unit/policy-bad.c t/unit/lib/policy.h t/unit/lib/policyfile.c \
	t/unit/lib/policyfile.h
t_unit_policy_bad_t_LDADD = $(LINK_POLICY)
t_unit_policy_conf_t_SOURCES = t/unit/policy-conf.c t/unit/lib/policy.h t/unit/lib/memory.c \
	t/unit/lib/memory.h
t_unit_policy_conf_t_LDADD = $(LINK_POLICY)
t_unit_policy_conf_t_LDFLAGS = $(AM_LDFLAGS) $(WRAP_MEMORY)
t_unit_policy_diff_t_SOURCES = t/unit/policy-diff.c t/unit/lib/policy.h t/unit/lib/policyfile.c \
	t/unit/lib/policyfile.h
t_unit_policy_diff_t_LDADD = $(LINK_POLICY)
t_unit_policy_lists_t_SOURCES = t/unit/policy-lists.c t/unit/lib/policy.h \
	t/unit/lib/policyfile.c t/unit/lib/policyfile.h
t_unit_policy_lists_t_LDADD = $(LINK_POLICY)
t_unit_policy_policy_t_SOURCES = t/unit/policy-policy.c t/unit/lib/policy.h t/unit/lib/memory.c \
	t/unit/lib/memory.h t/unit/lib/policyfile.c t/unit/lib/policyfile.h
t_unit_policy_policy_t_LDADD = $(LINK_POLICY)
t_unit_policy_policy_t_LDFLAGS = $(AM_LDFLAGS) $(WRAP_MEMORY)
t_unit_policy_values_t_SOURCES = t/unit/policy-values.c
t_unit_policy_values_t_LDADD = $(LINK_POLICY)
t_unit_proxy_describe_t_SOURCES = t/unit/proxy-describe.c t/unit/lib/house.c t/unit/lib/house.h
t_unit_proxy_describe_t_LDADD = $(LINK_PROXY)
t_unit_proxy_awake_t_SOURCES = t/unit/proxy-awake.c
t_unit_proxy_awake_t_LDADD = $(LINK_PROXY)
t_unit_proxy_edges_t_SOURCES = t/unit/proxy-edges.c
t_unit_proxy_edges_t_LDADD = $(LINK_PROXY)
t_unit_proxy_lost_t_SOURCES = t/unit/proxy-lost.c t/unit/lib/house.c t/unit/lib/house.h
t_unit_proxy_lost_t_LDADD = $(LINK_PROXY)
t_unit_proxy_evidence_t_SOURCES = t/unit/proxy-evidence.c
t_unit_proxy_evidence_t_LDADD = $(LINK_PROXY)
t_unit_proxy_limits_t_SOURCES = t/unit/proxy-limits.c
t_unit_proxy_limits_t_LDADD = $(LINK_PROXY)
t_unit_proxy_front_t_SOURCES = t/unit/proxy-front.c t/unit/lib/vectors.h t/unit/lib/walkfront.h
t_unit_proxy_front_t_LDADD = $(LINK_PROXY)
t_unit_proxy_pump_t_SOURCES = t/unit/proxy-pump.c
t_unit_proxy_pump_t_LDADD = $(LINK_PROXY)
t_unit_proxy_tap_t_SOURCES = t/unit/proxy-tap.c
t_unit_proxy_tap_t_LDADD = $(LINK_PROXY)
t_unit_proxy_split_t_SOURCES = t/unit/proxy-split.c t/unit/lib/talk.c t/unit/lib/talk.h
t_unit_proxy_split_t_LDADD = $(LINK_PROXY)
t_unit_proxy_stage_t_SOURCES = t/unit/proxy-stage.c
t_unit_proxy_stage_t_LDADD = $(LINK_PROXY)
t_unit_proxy_moving_t_SOURCES = t/unit/proxy-moving.c t/unit/lib/house.c t/unit/lib/house.h
t_unit_proxy_moving_t_LDADD = $(LINK_PROXY)
t_unit_proxy_waits_t_SOURCES = t/unit/proxy-waits.c t/unit/lib/house.c t/unit/lib/house.h
t_unit_proxy_waits_t_LDADD = $(LINK_PROXY)
t_unit_smb_compress_t_SOURCES = t/unit/smb-compress.c t/unit/lib/vectors.h
t_unit_smb_compress_t_LDADD = $(LINK_SMB)
t_unit_smb_hdr_t_SOURCES = t/unit/smb-hdr.c t/unit/lib/vectors.h t/unit/lib/walk.h
t_unit_smb_hdr_t_LDADD = $(LINK_SMB)
t_unit_smb_ifinfo_t_SOURCES = t/unit/smb-ifinfo.c t/unit/lib/vectors.h t/unit/lib/walk.h
t_unit_smb_ifinfo_t_LDADD = $(LINK_SMB)
t_unit_smb_neg_t_SOURCES = t/unit/smb-neg.c t/unit/lib/vectors.h t/unit/lib/walk.h
t_unit_smb_neg_t_LDADD = $(LINK_SMB)
t_unit_smb_recordings_t_SOURCES = t/unit/smb-recordings.c t/unit/lib/vectors.h t/unit/lib/walk.h
t_unit_smb_recordings_t_LDADD = $(LINK_SMB)
t_unit_state_facts_t_SOURCES = t/unit/state-facts.c t/unit/lib/claims.c t/unit/lib/claims.h \
	t/unit/lib/seal.c t/unit/lib/seal.h
t_unit_state_facts_t_LDADD = $(LINK_STATE)
t_unit_state_local_t_SOURCES = t/unit/state-local.c
t_unit_state_local_t_LDADD = $(LINK_STATE)
t_unit_state_orders_t_SOURCES = t/unit/state-orders.c t/unit/lib/seal.c t/unit/lib/seal.h
t_unit_state_orders_t_LDADD = $(LINK_STATE)
t_unit_state_queries_t_SOURCES = t/unit/state-queries.c
t_unit_state_queries_t_LDADD = $(LINK_STATE)
t_unit_state_record_t_SOURCES = t/unit/state-record.c t/unit/lib/seal.c t/unit/lib/seal.h
t_unit_state_record_t_LDADD = $(LINK_STATE)
t_unit_state_reply_t_SOURCES = t/unit/state-reply.c
t_unit_state_reply_t_LDADD = $(LINK_STATE)
t_unit_state_rests_t_SOURCES = t/unit/state-rests.c
t_unit_state_rests_t_LDADD = $(LINK_STATE)
t_unit_state_shared_t_SOURCES = t/unit/state-shared.c t/unit/lib/claims.c t/unit/lib/claims.h \
	t/unit/lib/seal.c t/unit/lib/seal.h
t_unit_state_shared_t_LDADD = $(LINK_STATE)
t_unit_state_wake_t_SOURCES = t/unit/state-wake.c
t_unit_state_wake_t_LDADD = $(LINK_STATE)
t_unit_state_wake_t_LDFLAGS = -Wl,--wrap=pthread_mutex_lock,--wrap=pthread_mutex_unlock \
	-Wl,--wrap=write
# Its parts one by one: keyd/ is a program, and nobody links it.
t_unit_keyd_channel_t_SOURCES = t/unit/keyd-channel.c keyd/channel.c
t_unit_keyd_channel_t_LDADD = $(LINK_AUTH)
t_unit_keyd_keytab_t_SOURCES = t/unit/keyd-keytab.c t/unit/lib/keydmade.c t/unit/lib/keydmade.h \
	t/unit/lib/vectors.h keyd/arena.c
t_unit_keyd_keytab_t_LDADD = $(LINK_AUTH)
t_unit_keyd_ntlm_t_SOURCES = t/unit/keyd-ntlm.c t/unit/lib/keydmade.c t/unit/lib/keydmade.h \
	t/unit/lib/keydrules.c t/unit/lib/keydrules.h t/unit/lib/vectors.h keyd/arena.c \
	keyd/ntlm.c keyd/ntlmhash.c keyd/rules.c keyd/seen.c
t_unit_keyd_ntlm_t_LDADD = $(LINK_AUTH)
t_unit_keyd_process_t_SOURCES = t/unit/keyd-process.c t/unit/lib/keydmade.c t/unit/lib/keydmade.h
t_unit_keyd_process_t_LDADD = $(LINK_AUTH)
t_unit_keyd_rules_t_SOURCES = t/unit/keyd-rules.c t/unit/lib/keydrules.c t/unit/lib/keydrules.h \
	keyd/rules.c keyd/seen.c
t_unit_keyd_rules_t_LDADD = $(LINK_AUTH)
t_unit_keyd_tickets_t_SOURCES = t/unit/keyd-tickets.c t/unit/lib/keydmade.c t/unit/lib/keydmade.h \
	t/unit/lib/vectors.h keyd/apreq.c keyd/authent.c
t_unit_keyd_tickets_t_LDADD = $(LINK_AUTH)

# What t/e2e/keyed-keyd.t runs: real tickets, and smbgate's side of smbgate-keyd without SMB.
check_PROGRAMS += t/door t/gss t/keyc t/conversation
CONVERSATION = t/fuzz/aside.c t/fuzz/client.c t/fuzz/node.c t/fuzz/packed.c t/fuzz/packed.h \
	t/fuzz/reader.c t/fuzz/reader.h t/fuzz/world.c t/fuzz/world.h \
	t/unit/lib/talk.c t/unit/lib/talk.h
t_conversation_SOURCES = t/fuzz/conversation.c t/fuzz/fuzz-conversation.c $(CONVERSATION)
t_conversation_LDADD = $(LINK_PROXY)
t_gss_SOURCES = t/lab/gss.c
t_gss_CFLAGS = $(AM_CFLAGS) $(KRB5_GSSAPI_CFLAGS)
t_gss_LDADD = $(KRB5_GSSAPI_LIBS) $(KRB5_LIBS)
t_door_SOURCES = t/lab/door.c t/fuzz/samba.c t/fuzz/samba.h
t_door_LDADD = auth/libauth.a $(LINK_SMB) $(CRYPTO_LIBS)
t_keyc_SOURCES = t/lab/keyc.c
t_keyc_LDADD = $(GATE_LIBS) $(GATE_EXTLIBS) $(CAP_LIBS) $(SECCOMP_LIBS)

# End to end: t/lab/start runs these, and each says what it wants of the machine.
E2E_TESTS = \
	t/e2e/admission-door.t \
	t/e2e/admission-logons.t \
	t/e2e/admission-patience.t \
	t/e2e/admission-strangers.t \
	t/e2e/admission-tokens.t \
	t/e2e/admission-unkeyed.t \
	t/e2e/channels-bind.t \
	t/e2e/channels-compressed.t \
	t/e2e/channels-ifinfo.t \
	t/e2e/clients-captures.t \
	t/e2e/clients-kernel.t \
	t/e2e/clients-ksmbd.t \
	t/e2e/contrib-apparmor.t \
	t/e2e/contrib-cluster.t \
	t/e2e/contrib-commands.t \
	t/e2e/contrib-container.t \
	t/e2e/contrib-crowded.t \
	t/e2e/contrib-ctdb.t \
	t/e2e/contrib-debian.t \
	t/e2e/contrib-fresh.t \
	t/e2e/contrib-install.t \
	t/e2e/contrib-keepalived.t \
	t/e2e/contrib-kubernetes.t \
	t/e2e/contrib-lab.t \
	t/e2e/contrib-quickstart.t \
	t/e2e/contrib-readme.t \
	t/e2e/contrib-rpm.t \
	t/e2e/contrib-systemd.t \
	t/e2e/contrib-trouble.t \
	t/e2e/contrib-upgrade.t \
	t/e2e/contrib-vpn-check.t \
	t/e2e/contrib-vpn-gateway.t \
	t/e2e/contrib-vpn-networkd.t \
	t/e2e/contrib-vpn-wireguard.t \
	t/e2e/crowd-clients.t \
	t/e2e/crowd-drain.t \
	t/e2e/crowd-soak.t \
	t/e2e/crowd-strangers.t \
	t/e2e/daemon-broken.t \
	t/e2e/daemon-check.t \
	t/e2e/daemon-confined.t \
	t/e2e/crowd-users.t \
	t/e2e/crowd-walks.t \
	t/e2e/daemon-ctl.t \
	t/e2e/daemon-keyfiles.t \
	t/e2e/daemon-nodefile.t \
	t/e2e/daemon-log.t \
	t/e2e/daemon-notify.t \
	t/e2e/daemon-reload.t \
	t/e2e/daemon-stop.t t/e2e/daemon-takeover.t t/e2e/daemon-takeover-conf.t \
	t/e2e/daemon-takeover-frozen.t \
	t/e2e/daemon-takeover-mounts.t t/e2e/daemon-takeover-orders.t \
	t/e2e/daemon-start.t \
	t/e2e/front-dialled.t \
	t/e2e/front-intercept.t \
	t/e2e/front-listeners.t \
	t/e2e/front-mounts.t \
	t/e2e/front-netbios.t \
	t/e2e/front-openings.t \
	t/e2e/front-proxy-protocol.t \
	t/e2e/front-source.t \
	t/e2e/front-takeover.t \
	t/e2e/hostile-input.t \
	t/e2e/hostile-redis.t \
	t/e2e/hostile-tshark.t \
	t/e2e/hostile-wire.t \
	t/e2e/keyed-binds.t \
	t/e2e/keyed-crowd.t \
	t/e2e/keyed-expiry.t \
	t/e2e/keyed-fire.t \
	t/e2e/keyed-flood.t \
	t/e2e/keyed-ifinfo.t \
	t/e2e/keyed-keyd.t \
	t/e2e/keyed-nonces.t \
	t/e2e/keyed-numbers.t \
	t/e2e/keyed-opaque.t \
	t/e2e/keyed-oracle.t \
	t/e2e/keyed-openssl.t \
	t/e2e/keyed-queries.t \
	t/e2e/keyed-smbtorture.t \
	t/e2e/keyed-variants.t \
	t/e2e/nodes-agent.t \
	t/e2e/nodes-asked.t \
	t/e2e/nodes-blackhole.t \
	t/e2e/nodes-ctdb-mounts.t \
	t/e2e/nodes-ctdb.t \
	t/e2e/nodes-drain-mounts.t \
	t/e2e/nodes-drain.t \
	t/e2e/nodes-evidence.t \
	t/e2e/nodes-health.t \
	t/e2e/nodes-none.t \
	t/e2e/nodes-orders.t \
	t/e2e/nodes-wait.t \
	t/e2e/nodes-own-trouble.t \
	t/e2e/nodes-placement.t \
	t/e2e/nodes-probes.t \
	t/e2e/nodes-takeover.t \
	t/e2e/proxy-reserve.t \
	t/e2e/redis-cases.t \
	t/e2e/redis-delays.t \
	t/e2e/redis-faults.t \
	t/e2e/redis-leaving.t \
	t/e2e/redis-many-claims.t \
	t/e2e/redis-model.t \
	t/e2e/redis-older.t \
	t/e2e/redis-placement.t \
	t/e2e/redis-proxy-death.t \
	t/e2e/redis-shared-keys.t \
	t/e2e/redis-tls.t \
	t/e2e/redis-takeover.t \
	t/e2e/redis-trouble.t \
	t/e2e/redis-unheard.t \
	t/e2e/redis-valkey.t \
	t/e2e/redis-where.t \
	t/e2e/relay-clients.t \
	t/e2e/relay-opens.t \
	t/e2e/relay-slow.t \
	t/e2e/relay-smbtorture.t \
	t/e2e/relay-splice.t \
	t/e2e/smb1-kerberos.t \
	t/e2e/see-capture.t \
	t/e2e/see-explain.t \
	t/e2e/see-http.t \
	t/e2e/see-show.t \
	t/e2e/see-log.t \
	t/e2e/smb1-logons.t \
	t/e2e/smb1-smbtorture.t \
	t/e2e/smb1-vcnumber.t \
	t/e2e/speed-bench.t \
	t/e2e/speed-instructions.t \
	t/e2e/sweep-calls.t \
	t/e2e/sweep-ends.t

EXTRA_DIST += dev/count-assertions dev/include-graph
EXTRA_DIST += $(TREE_TESTS) t/tree/csource.py t/tree/rooms.py $(E2E_TESTS) t/frames t/hostile \
	t/lab/ad.py t/lab/agent.py t/lab/boxes.py \
	t/lab/capture.py \
	t/lab/certs.py \
	t/lab/clients.py t/lab/cluster \
	t/lab/copies.py \
	t/lab/ctdb.py \
	t/lab/failing.c t/lab/failing.py \
	t/lab/fake.py \
	t/lab/fresh.py \
	t/lab/flock.py \
	t/lab/front.py t/lab/full.py \
	t/lab/gadget.c \
	t/lab/inject.py \
	t/lab/otherssl.c \
	t/lab/gate.py \
	t/lab/guide.py \
	t/lab/keeper.py t/lab/kernel.py \
	t/lab/keyed.py \
	t/lab/keyring.c \
	t/lab/ksmbd.py \
	t/lab/kdc.py \
	t/lab/keyd.py \
	t/lab/krb.py \
	t/lab/leases.py \
	t/lab/manifests.py \
	t/lab/model.py \
	t/lab/netns.py \
	t/lab/node.py \
	t/lab/numbered.py \
	t/lab/record.py \
	t/lab/mapmodel.py \
	t/lab/redis.py \
	t/lab/rooted \
	t/lab/search.py \
	t/lab/oracle.py \
	t/lab/several.py \
	t/lab/smb1.py \
	t/lab/smb2.py \
	t/lab/start \
	t/lab/successor.py \
	t/lab/systemd.py \
	t/lab/tape.py \
	t/lab/tap.py \
	t/lab/vpn.py \
	t/lab/vrrp.py \
	t/lab/way.py \
	t/lab/wirecase.py \
	t/lab/writer.c

# libFuzzer targets, built by `make fuzz` where clang is; contrib/fuzz runs them on what
# t/fuzz/corpus makes and on t/fuzz/crashes. What they try is compiled once, with the fuzzer's own
# instrumentation. t/fuzz/LEDGER says how long each has run.
FUZZ_TARGETS = t/fuzz/fuzz-addr t/fuzz/fuzz-agentline t/fuzz/fuzz-apreq t/fuzz/fuzz-auth \
	t/fuzz/fuzz-authent t/fuzz/fuzz-chain t/fuzz/fuzz-compress t/fuzz/fuzz-conf \
	t/fuzz/fuzz-conversation \
	t/fuzz/fuzz-denyfile t/fuzz/fuzz-door t/fuzz/fuzz-front t/fuzz/fuzz-handover \
	t/fuzz/fuzz-heads t/fuzz/fuzz-http t/fuzz/fuzz-ifinfo t/fuzz/fuzz-keymsg \
	t/fuzz/fuzz-keytab t/fuzz/fuzz-logline t/fuzz/fuzz-negotiate t/fuzz/fuzz-nodefile \
	t/fuzz/fuzz-ntlm t/fuzz/fuzz-policy t/fuzz/fuzz-record t/fuzz/fuzz-redis t/fuzz/fuzz-smb1 \
	t/fuzz/fuzz-smb2 t/fuzz/fuzz-split t/fuzz/fuzz-takemsg t/fuzz/fuzz-talk t/fuzz/fuzz-tlv
FUZZ_CC = clang
FUZZ_CFLAGS = -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	-I$(top_srcdir) -I$(top_builddir) -I. $(CRYPTO_CFLAGS) $(HIREDIS_CFLAGS) $(KRB5_CFLAGS) \
	$(CMOCKA_CFLAGS)
FUZZ_LIBS = $(CONFUSE_LIBS) $(JANSSON_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(EVENT_LIBS) \
	$(HIREDIS_LIBS) $(KRB5_LIBS) $(SECCOMP_LIBS) $(CMOCKA_LIBS)
# Whole rooms, what of the others is tried, and what stands on both sides of a conversation.
FUZZ_ROOMS = base smb auth policy state stats nodes inspect proxy
FUZZ_FILES = $(patsubst $(top_srcdir)/%,%,$(wildcard $(FUZZ_ROOMS:%=$(top_srcdir)/%/*.c))) \
	keyd/apreq.c keyd/arena.c keyd/authent.c keyd/ntlm.c keyd/ntlmhash.c keyd/rules.c \
	keyd/seen.c daemon/http_request.c daemon/takemsg.c daemon/talk.c \
	ctl/negotiate.c \
	t/fuzz/aside.c t/fuzz/client.c t/fuzz/node.c t/fuzz/packed.c t/fuzz/reader.c \
	t/fuzz/samba.c t/fuzz/world.c t/unit/lib/house.c t/unit/lib/talk.c
FUZZ_OBJECTS = $(FUZZ_FILES:%.c=t/fuzz/obj/%.o)
EXTRA_DIST += contrib/fuzz t/fuzz/LEDGER t/fuzz/UNREACHED t/fuzz/corpus t/fuzz/covered \
	t/fuzz/crashes t/fuzz/grown t/fuzz/mit.h t/fuzz/onfile.h \
	$(FUZZ_TARGETS:=.c) t/unit/lib/holds.h t/unit/lib/lists.h
CLEANFILES += $(FUZZ_TARGETS)
clean-local:
	rm -rf t/fuzz/inputs t/fuzz/obj t/fuzz/found-*
	rm -f t/fuzz/libfuzzed.a t/fuzz/*.log

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS)
t/fuzz/obj/%.o: $(top_srcdir)/%.c state/scripts.inc
	@$(MKDIR_P) $(@D)
	$(AM_V_CC)$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_MORE) -fsanitize=fuzzer-no-link -MMD \
		-c -o $@ $<
t/fuzz/libfuzzed.a: $(FUZZ_OBJECTS)
	$(AM_V_AR)rm -f $@ && $(AR) cr $@ $(FUZZ_OBJECTS)
$(FUZZ_TARGETS): %: t/fuzz/obj/%.o t/fuzz/libfuzzed.a
	$(AM_V_CCLD)$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_MORE) -fsanitize=fuzzer -o $@ $< \
		t/fuzz/libfuzzed.a $(FUZZ_LIBS)
-include $(FUZZ_OBJECTS:.o=.d) $(FUZZ_TARGETS:%=t/fuzz/obj/%.d)
