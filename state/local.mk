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

# The scripts for Redis become C strings in the build directory.
STATE_LUA = state/lua/assert.lua state/lua/claim.lua state/lua/common.lua state/lua/facts.lua \
	state/lua/move.lua state/lua/release.lua state/lua/sweep.lua state/lua/tick.lua
EXTRA_DIST += state/lua/embed.sh $(STATE_LUA)
BUILT_SOURCES += state/scripts.inc
CLEANFILES += state/scripts.inc
state/scripts.inc: $(STATE_LUA) state/lua/embed.sh state/names.h state/script.h
	@$(MKDIR_P) state
	$(AM_V_GEN)$(SHELL) $(top_srcdir)/state/lua/embed.sh $(top_srcdir)/state >$@.tmp && \
	mv $@.tmp $@
state/script.$(OBJEXT): state/scripts.inc
