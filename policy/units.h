/* units.h: numbers, times and speeds as configuration files write them */
#ifndef POLICY_UNITS_H
#define POLICY_UNITS_H

#include <stdint.h>

/*
 * From text: "42"; "15m", "2s", "500ms" to milliseconds; "25G", "2.5G", "100M", "1000000000" to
 * bits per second, or to bytes. What is too large is UINT64_MAX; -1 if the text is not of that
 * kind.
 */
int units_number(uint64_t *dst, const char *text) __attribute__((warn_unused_result));
int units_duration(uint64_t *dst_ms, const char *text) __attribute__((warn_unused_result));
int units_speed(uint64_t *dst, const char *text) __attribute__((warn_unused_result));

/* To text, with the largest unit that leaves a whole number. */
#define UNITS_STRLEN 32
const char *units_duration_str(uint64_t ms, char dst[UNITS_STRLEN]);
const char *units_speed_str(uint64_t speed, char dst[UNITS_STRLEN]);

#endif
