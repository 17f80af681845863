# smbgatectl
bin_PROGRAMS += ctl/smbgatectl
ctl_smbgatectl_SOURCES = \
	ctl/ask.c \
	ctl/ask.h \
	ctl/field.h \
	ctl/nearest.c \
	ctl/nearest.h \
	ctl/show.c \
	ctl/show.h \
	ctl/show_stats.c \
	ctl/smbgatectl.c \
	ctl/table.c \
	ctl/table.h
ctl_smbgatectl_LDADD = policy/libpolicy.a base/libbase.a \
	$(CONFUSE_LIBS) $(JANSSON_LIBS)
