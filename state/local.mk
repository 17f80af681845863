# the library of state/
noinst_LIBRARIES += state/libstate.a
state_libstate_a_SOURCES = \
	state/exceptions.c \
	state/exceptions.h \
	state/fault.c \
	state/fault.h \
	state/fault.tbl.h \
	state/finder.c \
	state/finder.h \
	state/inherit.c \
	state/inherit.h \
	state/keeper.c \
	state/keeper.h \
	state/link.c \
	state/link.h \
	state/link_conf.h \
	state/local.c \
	state/local.h \
	state/login.c \
	state/login.h \
	state/names.h \
	state/orders.c \
	state/orders.h \
	state/peers.c \
	state/peers.h \
	state/queries.c \
	state/queries.h \
	state/record.c \
	state/record.h \
	state/redis.c \
	state/redis.h \
	state/reply.c \
	state/reply.h \
	state/resets.c \
	state/resets.h \
	state/rests.c \
	state/rests.h \
	state/script.c \
	state/script.h \
	state/shared_claim.c \
	state/shared.h \
	state/shared_facts.c \
	state/shared_holds.c \
	state/shared_inherit.c \
	state/shared_keeper.c \
	state/shared_news.c \
	state/shared_priv.h \
	state/shared_table.c \
	state/state.h \
	state/sync.c \
	state/sync.h \
	state/wake.c \
	state/wake.h \
	state/wire.c \
	state/wire.h

# The scripts for Redis become C strings in the build directory.
STATE_LUA = state/lua/common.lua state/lua/finish.lua state/lua/sweep.lua \
	state/lua/sync.lua state/lua/tick.lua state/lua/try.lua
EXTRA_DIST += state/lua/embed.sh $(STATE_LUA)
BUILT_SOURCES += state/scripts.inc
CLEANFILES += state/scripts.inc
state/scripts.inc: $(STATE_LUA) state/lua/embed.sh state/names.h state/script.h
	@$(MKDIR_P) state
	$(AM_V_GEN)$(SHELL) $(top_srcdir)/state/lua/embed.sh $(top_srcdir)/state >$@.tmp && \
	mv $@.tmp $@
state/script.$(OBJEXT): state/scripts.inc
