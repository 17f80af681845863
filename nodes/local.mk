# the library of nodes/
noinst_LIBRARIES += nodes/libnodes.a
nodes_libnodes_a_SOURCES = \
	nodes/agent.c \
	nodes/agent.h \
	nodes/agentline.c \
	nodes/agentline.h \
	nodes/cluster.c \
	nodes/cluster.h \
	nodes/dial.c \
	nodes/dial.h \
	nodes/doubt.c \
	nodes/doubt.h \
	nodes/health.c \
	nodes/health.h \
	nodes/inherit.c \
	nodes/inherit.h \
	nodes/home.c \
	nodes/home.h \
	nodes/last.c \
	nodes/last.h \
	nodes/logons.c \
	nodes/logons.h \
	nodes/node.c \
	nodes/node.h \
	nodes/own.c \
	nodes/own.h \
	nodes/place.c \
	nodes/place.h \
	nodes/ports.c \
	nodes/ports.h \
	nodes/probe.c \
	nodes/probe.h \
	nodes/route.c \
	nodes/route.h \
	nodes/source.c \
	nodes/source.h \
	nodes/stance.c \
	nodes/stance.h \
	nodes/traffic.h
