/* plain.h: pure: text that others have made, as people may be shown it */
#ifndef BASE_PLAIN_H
#define BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the UTF-8 character at s, which ends with a NUL; 0: there is none. RFC 3629. */
size_t plain_char(const char *s, uint32_t *c);
/*
 * What is not to be seen, but moves what is: controls, and of Unicode the separators of lines and
 * what turns the direction of writing.
 */
bool plain_is_control(uint32_t c);
/* Each of these but newlines and tabs, and each byte that is no UTF-8, is one '?' then. */
void plain_text(char *s);

#endif
