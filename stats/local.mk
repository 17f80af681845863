# the library of stats/
noinst_LIBRARIES += stats/libstats.a
stats_libstats_a_SOURCES = \
	stats/close.h \
	stats/close.tbl.h \
	stats/inherit.c \
	stats/inherit.h \
	stats/refusals.c \
	stats/refusals.h \
	stats/refused.c \
	stats/refused.h \
	stats/stat.tbl.h \
	stats/stats.c \
	stats/stats.h
