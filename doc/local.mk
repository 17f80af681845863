# Manual pages, made of the pages that are read as they are elsewhere; without lowdown, none
EXTRA_DIST += doc/man.awk
if HAVE_LOWDOWN
MAN_PAGES = doc/smbgatectl.1 doc/smbgate.conf.5 doc/smbgate-policy.5 doc/smbgate.8 \
	doc/smbgate-keyd.8
# The names that two of them had, or that are guessed, and a program that smbgate(8) describes.
MAN_ALIASES = doc/policy.conf.5 doc/smbgatectl.8 doc/smbgate-upgrade.8
man_MANS = $(MAN_PAGES) $(MAN_ALIASES)
CLEANFILES += $(MAN_PAGES) $(MAN_ALIASES)
endif

SUFFIXES = .1.md .1 .5.md .5 .8.md .8
.1.md.1:
	@$(MKDIR_P) doc
	$(AM_V_GEN)$(MAN_PAGE)
.5.md.5:
	@$(MKDIR_P) doc
	$(AM_V_GEN)$(MAN_PAGE)
.8.md.8:
	@$(MKDIR_P) doc
	$(AM_V_GEN)$(MAN_PAGE)
doc/policy.conf.5: Makefile
	@$(MKDIR_P) doc
	$(AM_V_GEN)echo ".so man5/smbgate-policy.5" >$@
doc/smbgatectl.8: Makefile
	@$(MKDIR_P) doc
	$(AM_V_GEN)echo ".so man1/smbgatectl.1" >$@
doc/smbgate-upgrade.8: Makefile
	@$(MKDIR_P) doc
	$(AM_V_GEN)echo ".so man8/smbgate.8" >$@

# lowdown's font for code is one that terminals do not have.
MAN_PAGE = page=$(@F) && $(AWK) -f $(srcdir)/doc/man.awk $< | \
	$(LOWDOWN) -s -Tman --nroff-nolinks -M title="$$(echo "$${page%.?}" | tr a-z A-Z)" \
	--out-no-smarty -M section="$${page\#\#*.}" -M date=$(RELEASE_DATE) \
	-M source="$(PACKAGE_STRING)" | sed -e 's/\\fC/\\fB/g' >$@.tmp && mv $@.tmp $@
$(MAN_PAGES): doc/man.awk Makefile
