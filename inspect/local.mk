# the library of inspect/
noinst_LIBRARIES += inspect/libinspect.a
inspect_libinspect_a_SOURCES = \
	inspect/admission.c \
	inspect/admission.h \
	inspect/announce.c \
	inspect/announce.h \
	inspect/carry.c \
	inspect/carry.h \
	inspect/classify.c \
	inspect/classify.h \
	inspect/decision.h \
	inspect/env.c \
	inspect/env.h \
	inspect/frame.c \
	inspect/frame.h \
	inspect/identity.c \
	inspect/identity.h \
	inspect/logon.c \
	inspect/logon.h \
	inspect/logon_keys.c \
	inspect/logon_keys.h \
	inspect/mediate.c \
	inspect/mediate.h \
	inspect/query.c \
	inspect/query.h \
	inspect/session.c \
	inspect/session.h \
	inspect/session_info.c \
	inspect/session_info.h \
	inspect/setup.c \
	inspect/setup.h \
	inspect/sharing.c \
	inspect/sharing.h \
	inspect/smb1.c \
	inspect/smb1.h \
	inspect/track.c \
	inspect/track.h \
	inspect/vc_reset.c \
	inspect/vc_reset.h \
	inspect/verdict.h
