/* units.c: numbers, times and speeds as configuration files write them */
#include "config.h"

#include "policy/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What is too large becomes the largest number, which is out of every range. */
static uint64_t
times(uint64_t v, uint64_t factor)
{
	uint64_t r;

	return __builtin_mul_overflow(v, factor, &r) ? UINT64_MAX : r;
}

/* The digits at the start of text; *end: what stands behind them. */
static int
digits(uint64_t *dst, const char *text, const char **end)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_add_overflow(times(v, 10), (uint64_t)(*p - '0'), &v))
			v = UINT64_MAX;
	*dst = v;
	*end = p;
	return p == text ? -1 : 0;
}

int
units_number(uint64_t *dst, const char *text)
{
	const char *end;

	return digits(dst, text, &end) == -1 || *end != '\0' ? -1 : 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
scale(uint64_t *dst, uint64_t v, const char *name, const struct unit *units)
{
	for (; units->name != NULL; units++) {
		if (strcmp(units->name, name) != 0)
			continue;
		*dst = times(v, units->factor);
		return 0;
	}
	return -1;
}

int
units_duration(uint64_t *dst_ms, const char *text)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
	const char *end;
	uint64_t v;

	if (digits(&v, text, &end) == -1)
		return -1;
	/* A bare number could be seconds or milliseconds; only 0 is the same in both. */
	if (*end == '\0' && v == 0) {
		*dst_ms = 0;
		return 0;
	}
	return scale(dst_ms, v, end, units);
}

int
units_speed(uint64_t *dst, const char *text)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1000 }, { "M", 1000000 },
		{ "G", 1000000000 }, { "T", 1000000000000 }, { NULL, 0 } };
	const char *end;
	uint64_t v, tenths = 0;

	if (digits(&v, text, &end) == -1)
		return -1;
	if (*end == '.') {
		/* "2.5G": network cards have no speed with more than one decimal. */
		if (end[1] < '0' || end[1] > '9' || end[2] == '\0')
			return -1;
		tenths = (uint64_t)(end[1] - '0');
		end += 2;
	}
	if (__builtin_add_overflow(times(v, 10), tenths, &v))
		v = UINT64_MAX;
	if (scale(dst, v, end, units) == -1)
		return -1;
	*dst /= *dst == UINT64_MAX ? 1 : 10;
	return 0;
}

const char *
units_duration_str(uint64_t ms, char dst[UNITS_STRLEN])
{
	static const struct unit units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
		{ "ms", 1 } };
	const struct unit *u = units;

	if (ms == 0)
		return "0";
	while (ms % u->factor != 0)
		u++;
	snprintf(dst, UNITS_STRLEN, "%" PRIu64 "%s", ms / u->factor, u->name);
	return dst;
}

const char *
units_speed_str(uint64_t speed, char dst[UNITS_STRLEN])
{
	static const char units[] = "KMGT";
	char unit[2] = "";

	for (int i = 0; units[i] != '\0' && speed != 0 && speed % 1000 == 0; i++) {
		speed /= 1000;
		unit[0] = units[i];
	}
	snprintf(dst, UNITS_STRLEN, "%" PRIu64 "%s", speed, unit);
	return dst;
}
