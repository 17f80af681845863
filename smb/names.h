/* names.h: dialects, ciphers and signing algorithms as text for people */
#ifndef SMB_NAMES_H
#define SMB_NAMES_H

#include <stdint.h>

/* "3.1.1"; NULL for a number that is no dialect, 0 included. */
const char *smb_dialect_name(uint16_t dialect);

/* "AES-128-GCM"; "none" for 0. */
const char *smb_cipher_name(uint16_t cipher);

/* "AES-128-CMAC". Before 3.1.1 the dialect alone decides, whatever signing is. */
const char *smb_signing_name(uint16_t dialect, uint16_t signing);

#endif
