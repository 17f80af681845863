# smbgatectl
bin_PROGRAMS += ctl/smbgatectl
ctl_smbgatectl_SOURCES = ctl/show.c ctl/show.h ctl/smbgatectl.c ctl/table.c ctl/table.h
ctl_smbgatectl_LDADD = policy/libpolicy.a base/libbase.a \
	$(CONFUSE_LIBS) $(JANSSON_LIBS)
