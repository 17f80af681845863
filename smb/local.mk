# the library of smb/
noinst_LIBRARIES += smb/libsmb.a
smb_libsmb_a_SOURCES = \
	smb/answer2.c \
	smb/answer2.h \
	smb/chain1.c \
	smb/chain1.h \
	smb/chain2.c \
	smb/chain2.h \
	smb/compress.c \
	smb/compress.h \
	smb/const.h \
	smb/err2.c \
	smb/err2.h \
	smb/hdr2.c \
	smb/hdr2.h \
	smb/ifinfo.c \
	smb/ifinfo.h \
	smb/ioctl2.c \
	smb/ioctl2.h \
	smb/lz.c \
	smb/lz.h \
	smb/names.c \
	smb/names.h \
	smb/nbss.c \
	smb/nbss.h \
	smb/neg1.c \
	smb/neg1.h \
	smb/neg2.c \
	smb/neg2.h \
	smb/netbios.c \
	smb/netbios.h \
	smb/raw1.c \
	smb/raw1.h \
	smb/sess1.c \
	smb/sess1.h \
	smb/sess2.c \
	smb/sess2.h \
	smb/xform.c \
	smb/xform.h
