# smbgatectl
bin_PROGRAMS += ctl/smbgatectl
ctl_smbgatectl_SOURCES = ctl/smbgatectl.c
ctl_smbgatectl_LDADD = proxy/libproxy.a policy/libpolicy.a base/libbase.a \
	$(CONFUSE_LIBS) $(JANSSON_LIBS)
