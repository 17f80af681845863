# the library of policy/
noinst_LIBRARIES += policy/libpolicy.a
policy_libpolicy_a_SOURCES = \
	policy/acl.h \
	policy/conffile.h \
	policy/policy.h \
	policy/print.h \
	policy/schema.h
