# the library of state/
noinst_LIBRARIES += state/libstate.a
state_libstate_a_SOURCES = \
	state/local.c \
	state/local.h \
	state/state.h
