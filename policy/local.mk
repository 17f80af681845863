# the library of policy/
noinst_LIBRARIES += policy/libpolicy.a
policy_libpolicy_a_SOURCES = \
	policy/acl.c \
	policy/acl.h \
	policy/addrwords.c \
	policy/addrwords.h \
	policy/conf.c \
	policy/conf.h \
	policy/conf.tbl.h \
	policy/conffile.c \
	policy/conffile.h \
	policy/conftext.c \
	policy/conftext.h \
	policy/denyfile.c \
	policy/denyfile.h \
	policy/diff.c \
	policy/diff.h \
	policy/errlist.c \
	policy/errlist.h \
	policy/nearest.c \
	policy/nearest.h \
	policy/nodefile.c \
	policy/nodefile.h \
	policy/nodefile_json.c \
	policy/nodefile_json.h \
	policy/noderow.h \
	policy/policy.c \
	policy/policy.h \
	policy/print.c \
	policy/print.h \
	policy/readfile.c \
	policy/readfile.h \
	policy/schema.c \
	policy/schema.h \
	policy/schema_iface.c \
	policy/schema_iface.h \
	policy/schema_listener.c \
	policy/schema_listener.h \
	policy/schema_node.c \
	policy/schema_node.h \
	policy/schema_priv.c \
	policy/schema_priv.h \
	policy/setting.c \
	policy/setting.h \
	policy/settings.tbl.h \
	policy/units.c \
	policy/units.h
