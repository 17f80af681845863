/* fuzz-logline.c: libFuzzer target: whatever names are logged, a line is one, and says them */
/* for: base/logline.c */
#include "config.h"

#include "base/addr.h"
#include "base/logline.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is it what a reader of JSON is given, or its beginning? What is no UTF-8 is not compared. */
static void
says(const json_t *o, const char *key, const char *value)
{
	const char *got = json_string_value(json_object_get(o, key));
	json_t *whole = value == NULL ? NULL : json_string(value);

	if (whole != NULL && value[0] != '\0') {
		HOLDS(got != NULL && strncmp(got, value, strlen(got)) == 0);
		HOLDS(strlen(value) > 10 || strcmp(got, value) == 0);
	}
	json_decref(whole);
}

/* A word is a level's, or a format's, if it is said so. */
static void
fuzz_words(const char *p, size_t n)
{
	char word[16] = "";
	enum log_level level;
	enum log_format format;

	memcpy(word, p, n < sizeof(word) ? n : sizeof(word) - 1);
	if (log_level_parse(&level, word) == 0)
		HOLDS(strcmp(log_level_str(level), word) == 0);
	if (log_format_parse(&format, word) == 0)
		HOLDS(strcmp(log_format_str(format), word) == 0);
}

static void
fuzz_line(const struct log_record *r, enum log_format format)
{
	const struct logline_style style = { .format = format, .time = r->fields->by % 2 != 0,
		.priority = format == LOG_FORMAT_TEXT && r->fields->has_by };
	char line[LOGLINE_MAX];
	size_t text, n = logline_make(line, &style, r, &text);
	json_error_t why;
	json_t *o;

	HOLDS(logline_priority(r->level) <= 7);
	HOLDS(n > 1 && n <= sizeof(line) && text < n && line[n - 1] == '\n');
	for (size_t i = 0; i < n - 1; i++)
		HOLDS((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
	line[n - 1] = '\0';
	o = json_string(line);
	HOLDS(o != NULL);	/* it is UTF-8 */
	json_decref(o);
	if (format != LOG_FORMAT_JSON)
		return;
	o = json_loads(line, JSON_REJECT_DUPLICATES, &why);
	HOLDS(json_is_object(o));
	says(o, "user", r->fields->user);
	says(o, "node", r->fields->node);
	says(o, "msg", r->msg);
	json_decref(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char part[3][256] = { "" };
	struct log_fields f = { .event = LOG_EVENT_NONE, .id = size };
	struct log_record r = { .level = LOG_LEVEL_INFO, .fields = &f, .msg = part[2] };
	const uint8_t *p = data;
	struct addrport ends[2] = { 0 };

	fuzz_words((const char *)data, size);
	/* Three texts, one behind the other's NUL. */
	for (int i = 0; i < 3 && size > 0; i++) {
		size_t n = strnlen((const char *)p, size);

		memcpy(part[i], p, n < 255 ? n : 255);
		n += n < size;
		p += n;
		size -= n;
	}
	f.user = part[0];
	f.node = part[1];
	/* What is left says what else there is. */
	f.session = size;
	r.prefix = (size & 1) != 0;
	if (size > 42) {
		f.event = (enum log_event)(p[0] % LOG_EVENTS);
		HOLDS(log_event_budget(f.event) < 1000000);
		r.level = (enum log_level)(p[1] & 3);
		r.prefix = (p[1] & 4) != 0;
		f.status = reader_u32(p + 2);
		f.has_by = true;
		f.by = f.status;
		f.count = p[6];
		memcpy(ends[0].addr.b, p + 7, 16);
		memcpy(ends[1].addr.b, p + 23, 16);
		ends[0].port = p[39];
		r.ts.tv_sec = (time_t)reader_u32(p + 38);
		f.client = &ends[0];
		f.local = &ends[1];
	}
	fuzz_line(&r, LOG_FORMAT_TEXT);
	fuzz_line(&r, LOG_FORMAT_LOGFMT);
	fuzz_line(&r, LOG_FORMAT_JSON);
	return 0;
}
