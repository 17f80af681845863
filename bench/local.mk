# Measurements: bench/run builds and uses these; nothing is installed.
EXTRA_PROGRAMS += bench/null bench/load bench/relay
bench_null_SOURCES = bench/null.c
bench_null_LDADD = smb/libsmb.a base/libbase.a
bench_load_SOURCES = bench/load.c
bench_load_LDADD = smb/libsmb.a base/libbase.a
bench_relay_SOURCES = bench/relay.c
bench_relay_LDADD = smb/libsmb.a base/libbase.a
EXTRA_DIST += bench/figures.py bench/run bench/logon bench/README.md doc/PERFORMANCE.md
EXTRA_PROGRAMS += bench/herd
bench_herd_SOURCES = bench/herd.c
bench_herd_LDADD = state/libstate.a auth/libauth.a base/libbase.a $(SSL_LIBS) $(CRYPTO_LIBS) \
	$(EVENT_LIBS) $(HIREDIS_LIBS)
EXTRA_DIST += bench/changed bench/many bench/map bench/show bench/upgrade
