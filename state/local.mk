# the library of state/
noinst_LIBRARIES += state/libstate.a
state_libstate_a_SOURCES = \
	state/command.c \
	state/command.h \
	state/exceptions.c \
	state/exceptions.h \
	state/facts.c \
	state/facts.h \
	state/fault.c \
	state/fault.h \
	state/fault.tbl.h \
	state/keeper.c \
	state/keeper.h \
	state/link.c \
	state/link.h \
	state/local.c \
	state/local.h \
	state/names.h \
	state/record.c \
	state/record.h \
	state/redis.c \
	state/redis.h \
	state/reply.c \
	state/reply.h \
	state/script.c \
	state/script.h \
	state/shared.c \
	state/shared.h \
	state/state.h
