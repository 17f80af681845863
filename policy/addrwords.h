/* addrwords.h: pure: what is wrong with a text that should be an address */
#ifndef POLICY_ADDRWORDS_H
#define POLICY_ADDRWORDS_H

#include <stdbool.h>
#include <stddef.h>

/* What the text should be: an address alone, one that may have a port, or one with a length. */
enum addrwords_form { ADDRWORDS_ADDR, ADDRWORDS_ADDRPORT, ADDRWORDS_PREFIX };

/*
 * Of a text that is not of that form: its fault, if it is one of those that people make; in dst,
 * which it may be cut to, or a constant. NULL: it is none of them.
 */
const char *addrwords(enum addrwords_form form, const char *text, char *dst, size_t n);

/* It is an IPv6 address, and was hardly meant as that: "fd00::1:445", a port and no brackets. */
bool addrwords_lacks_brackets(const char *text);

#endif
