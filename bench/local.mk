# Measurements: bench/run builds and uses these; nothing is installed.
EXTRA_PROGRAMS += bench/null bench/load
bench_null_SOURCES = bench/null.c
bench_null_LDADD = smb/libsmb.a base/libbase.a
bench_load_SOURCES = bench/load.c
bench_load_LDADD = smb/libsmb.a base/libbase.a
EXTRA_DIST += bench/run bench/README.md doc/PERFORMANCE.md
