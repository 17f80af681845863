/* names.c: dialects, ciphers and signing algorithms as text for people */
#include "config.h"

#include "smb/names.h"

#include "smb/const.h"

#include <stddef.h>

const char *
smb_dialect_name(uint16_t dialect)
{
	switch (dialect) {
	case SMB2_DIALECT_202:
		return "2.0.2";
	case SMB2_DIALECT_210:
		return "2.1";
	case SMB2_DIALECT_300:
		return "3.0";
	case SMB2_DIALECT_302:
		return "3.0.2";
	case SMB2_DIALECT_311:
		return "3.1.1";
	default:
		return NULL;
	}
}

const char *
smb_cipher_name(uint16_t cipher)
{
	switch (cipher) {
	case 0:
		return "none";
	case SMB2_CIPHER_AES128_CCM:
		return "AES-128-CCM";
	case SMB2_CIPHER_AES128_GCM:
		return "AES-128-GCM";
	case SMB2_CIPHER_AES256_CCM:
		return "AES-256-CCM";
	case SMB2_CIPHER_AES256_GCM:
		return "AES-256-GCM";
	default:
		return "unknown";
	}
}

const char *
smb_signing_name(uint16_t dialect, uint16_t signing)
{
	if (dialect < SMB2_DIALECT_300)
		return "HMAC-SHA256";
	if (dialect < SMB2_DIALECT_311)
		return "AES-128-CMAC";
	switch (signing) {
	case SMB2_SIGNING_HMAC_SHA256:
		return "HMAC-SHA256";
	case SMB2_SIGNING_AES_CMAC:
		return "AES-128-CMAC";
	case SMB2_SIGNING_AES_GMAC:
		return "AES-128-GMAC";
	default:
		return "unknown";
	}
}
