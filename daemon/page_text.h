/* page_text.h: pure: the pieces that the page is made of: texts, numbers, lines */
#ifndef DAEMON_PAGE_TEXT_H
#define DAEMON_PAGE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Text of anybody's, which can end neither an element nor an attribute in quotes. */
void page_text(FILE *out, const char *text);

/* 1,234,567 */
void page_number(FILE *out, uint64_t n);
/* 12.3 MB */
void page_bytes(FILE *out, uint64_t n);
/* 3 d 4 h; 12 min; 45 s */
void page_duration(FILE *out, uint64_t seconds);

/* n values, the newest last and at the right of room for `of`, as a line over what is below it. */
void page_spark(FILE *out, const uint64_t *values, size_t n, size_t of, const char *what);

#endif
