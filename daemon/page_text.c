/* page_text.c: pure: the pieces that the page is made of: texts, numbers, lines */
#include "config.h"

#include "daemon/page_text.h"

#include "base/plain.h"

#include <inttypes.h>
#include <string.h>

/* Of a line's drawing. */
#define HEIGHT 32

/* How much of it that was. */
static size_t
page_char(FILE *out, const char *text)
{
	uint32_t c;
	size_t n = plain_char(text, &c);

	/* Controls have no place in HTML, nor what turns the direction of its lines. */
	if (n == 0 || plain_is_control(c))
		fputc('?', out);
	else
		fwrite(text, 1, n, out);
	return n == 0 ? 1 : n;
}

void
page_text(FILE *out, const char *text)
{
	size_t n;

	for (; *text != '\0'; text += n) {
		n = 1;
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			n = page_char(out, text);
		}
	}
}

void
page_number(FILE *out, uint64_t n)
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			fputc(',', out);
		fputc(digits[i], out);
	}
}

void
page_bytes(FILE *out, uint64_t n)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	double v = (double)n;
	size_t u = 0;

	while (v >= 999.5 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		u++;
	}
	fprintf(out, v < 9.95 && u > 0 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void
page_duration(FILE *out, uint64_t s)
{
	if (s < 100)
		fprintf(out, "%" PRIu64 " s", s);
	else if (s < 6000)
		fprintf(out, "%" PRIu64 " min", s / 60);
	else if (s < 86400)
		fprintf(out, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		fprintf(out, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
}

static uint64_t
highest(const uint64_t *values, size_t n)
{
	uint64_t max = 0;

	for (size_t i = 0; i < n; i++)
		if (values[i] > max)
			max = values[i];
	return max;
}

static void
points(FILE *out, const uint64_t *values, size_t n, size_t first, uint64_t max)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, " %zu,%.1f", first + i,
		    HEIGHT - 1 - (max == 0 ? 0 : (double)values[i] / (double)max * (HEIGHT - 3)));
}

void
page_spark(FILE *out, const uint64_t *values, size_t n, size_t of, const char *what)
{
	uint64_t max = highest(values, n);
	size_t first = n < of ? of - n : 0;

	fprintf(out, "<svg class=\"spark\" viewBox=\"0 0 %zu %d\" preserveAspectRatio=\"none\" "
	             "role=\"img\" aria-label=\"", of - 1, HEIGHT);
	page_text(out, what);
	fprintf(out, ", at most ");
	page_number(out, max);
	/* For who points at it. */
	fprintf(out, "\"><title>");
	page_text(out, what);
	fprintf(out, ", at most ");
	page_number(out, max);
	fprintf(out, "</title><path class=\"base\" d=\"M0 %d.5H%zu\"/>", HEIGHT - 1, of);
	if (n > 1) {
		fprintf(out, "<polygon points=\"%zu,%d", first, HEIGHT);
		points(out, values, n, first, max);
		fprintf(out, " %zu,%d\"/><polyline points=\"", of - 1, HEIGHT);
		points(out, values, n, first, max);
		fprintf(out, "\"/>");
	}
	fprintf(out, "</svg>");
}
