/* base-logline.c: unit tests of log lines in each format: read back, whatever is in them */
#include "config.h"

#include "base/logline.h"
#include "base/plain.h"

#include "base/addr.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define ROUNDS 4000
#define PAIRS_MAX 32

static const struct timespec when = { 1795990400, 42000000 };
static const char when_text[] = "2026-11-29T22:13:20.042Z";

/* What hostile names are made of, beside anything. */
static const char *const pieces[] = { "\"", "\\", "\n", "\r", "\t", " ", "=", "{", "}", ",", ":",
	"<6>", "user=root", "\",\"user\":\"root\"", "\x1b[31m", "\x7f", "\xc2\x85", "\xe2\x80\xa8",
	"\xe2\x80\xae", "\xc3\xa4", "\xf0\x9f\x90\xa7", "\xc0\x80", "\xed\xa0\x80", "\xff", "\xc3",
	"\xf4\x90\x80\x80", ">", "event=stop", "a", "Z", "\\u0000", "#" };

struct pair {
	char key[32], value[LOGLINE_MAX];
};

struct pairs {
	size_t n;
	struct pair all[PAIRS_MAX];
};

static size_t
make(char dst[LOGLINE_MAX + 1], enum log_format format, const struct log_fields *f,
    const char *msg)
{
	const struct logline_style style = { .format = format };
	const struct log_record r = {
		.ts = when, .level = LOG_LEVEL_WARN, .fields = f, .msg = msg
	};
	size_t text, n = logline_make(dst, &style, &r, &text);

	assert_in_range(n, 1, LOGLINE_MAX);
	assert_true(text < n);
	dst[n] = '\0';
	assert_int_equal(strlen(dst), n);
	/* One line, and nothing that a terminal obeys or that looks like two. */
	assert_ptr_equal(strchr(dst, '\n'), dst + n - 1);
	for (size_t i = 0; i < n - 1; i++)
		assert_true((unsigned char)dst[i] >= 0x20 && dst[i] != 0x7f);
	assert_null(strstr(dst, "\xc2\x85"));
	assert_null(strstr(dst, "\xe2\x80\xa8"));
	assert_null(strstr(dst, "\xe2\x80\xae"));
	return n;
}

/* A JSON string's inside up to its quote; jansson takes it apart. */
static const char *
quoted(const char *p, char *value)
{
	const char *end = p + 1;
	json_t *v;

	while (*end != '"') {
		assert_int_not_equal(*end, '\0');
		end += *end == '\\' ? 2 : 1;
	}
	v = json_loadb(p, (size_t)(end + 1 - p), JSON_DECODE_ANY, NULL);
	assert_non_null(v);
	snprintf(value, LOGLINE_MAX, "%s", json_string_value(v));
	json_decref(v);
	return end + 1;
}

/* key=value and key="value", one space between them: as logfmt is read. */
static void
read_logfmt(const char *line, struct pairs *out)
{
	out->n = 0;
	while (*line != '\n') {
		struct pair *p = &out->all[out->n++];
		size_t n = strcspn(line, "= \"\n");

		assert_in_range(out->n, 1, PAIRS_MAX);
		assert_int_equal(line[n], '=');
		assert_in_range(n, 1, sizeof(p->key) - 1);
		snprintf(p->key, sizeof(p->key), "%.*s", (int)n, line);
		line += n + 1;
		if (*line == '"') {
			line = quoted(line, p->value);
		} else {
			n = strcspn(line, "= \"\n");
			assert_true(n > 0 && (line[n] == ' ' || line[n] == '\n'));
			snprintf(p->value, sizeof(p->value), "%.*s", (int)n, line);
			line += n;
		}
		if (*line == ' ')
			line++;
		else
			assert_int_equal(*line, '\n');
	}
}

/* The same as pairs, numbers as text. */
static void
read_json(const char *line, struct pairs *out)
{
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL), *v;
	const char *key;

	assert_non_null(o);
	out->n = 0;
	json_object_foreach(o, key, v) {
		struct pair *p = &out->all[out->n++];

		assert_in_range(out->n, 1, PAIRS_MAX);
		snprintf(p->key, sizeof(p->key), "%s", key);
		if (json_is_integer(v))
			snprintf(p->value, sizeof(p->value), "%" JSON_INTEGER_FORMAT,
			    json_integer_value(v));
		else
			snprintf(p->value, sizeof(p->value), "%s", json_string_value(v));
	}
	json_decref(o);
}

static const char *
value_of(const struct pairs *p, const char *key)
{
	const char *found = NULL;

	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->all[i].key, key) != 0)
			continue;
		/* Once. */
		assert_null(found);
		found = p->all[i].value;
	}
	return found;
}

static struct addrport client, local;

static struct log_fields
everything(const char *user, const char *reason)
{
	assert_int_equal(addrport_parse(&client, "10.1.0.7:50122", 0), 0);
	assert_int_equal(addrport_parse(&local, "[2001:db8::1]:445", 0), 0);
	return (struct log_fields){ .event = LOG_EVENT_LOGON_FAILED, .id = 12, .client = &client,
		.local = &local, .listener = "l1", .node = "n1", .user = user, .dialect = "3.1.1",
		.signing = "AES-128-GMAC", .cipher = "AES-128-GCM", .protection = "keyed",
		.code = "ntlm_refused", .reason = reason, .session = 0xabc, .status = 0xc000006d,
		.has_by = true, .by = 0, .count = 3 };
}

static void
exact(void **state)
{
	const struct log_fields f = everything("DOM\\bob", "no");
	const struct log_fields none = { .event = LOG_EVENT_NONE };
	char line[LOGLINE_MAX + 1];

	(void)state;
	make(line, LOG_FORMAT_JSON, &f, "said \"no\"");
	assert_string_equal(line, "{\"ts\":\"2026-11-29T22:13:20.042Z\",\"level\":\"warning\","
	    "\"event\":\"logon_failed\",\"msg\":\"said \\\"no\\\"\",\"conn\":12,"
	    "\"client\":\"10.1.0.7:50122\",\"local\":\"[2001:db8::1]:445\",\"listener\":\"l1\","
	    "\"node\":\"n1\",\"session\":\"0x0000000000000abc\",\"user\":\"DOM\\\\bob\","
	    "\"dialect\":\"3.1.1\",\"signing\":\"AES-128-GMAC\",\"cipher\":\"AES-128-GCM\","
	    "\"protection\":\"keyed\",\"code\":\"ntlm_refused\",\"reason\":\"no\","
	    "\"status\":\"0xc000006d\",\"by\":0,\"count\":3}\n");
	make(line, LOG_FORMAT_LOGFMT, &f, "said \"no\"");
	assert_string_equal(line, "ts=2026-11-29T22:13:20.042Z level=warning event=logon_failed "
	    "msg=\"said \\\"no\\\"\" conn=12 client=10.1.0.7:50122 local=[2001:db8::1]:445 "
	    "listener=l1 node=n1 session=0x0000000000000abc user=\"DOM\\\\bob\" dialect=3.1.1 "
	    "signing=AES-128-GMAC cipher=AES-128-GCM protection=keyed code=ntlm_refused "
	    "reason=no status=0xc000006d by=0 count=3\n");
	/* What is not known is not there. */
	make(line, LOG_FORMAT_JSON, &none, "ready");
	assert_string_equal(line, "{\"ts\":\"2026-11-29T22:13:20.042Z\",\"level\":\"warning\","
	    "\"msg\":\"ready\"}\n");
	make(line, LOG_FORMAT_LOGFMT, &none, "");
	assert_string_equal(line, "ts=2026-11-29T22:13:20.042Z level=warning msg=\"\"\n");
}

/* A value ends where it ends, though it looks like the beginning of the rest. */
static void
joints(void **state)
{
	static const char *const users[] = { "a>", "a{", "<6>", "{", ">" };
	struct pairs *p = calloc(1, sizeof(*p));
	char line[LOGLINE_MAX + 1];

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		const struct log_fields f = everything(users[i], users[i]);

		make(line, LOG_FORMAT_LOGFMT, &f, users[i]);
		read_logfmt(line, p);
		assert_string_equal(value_of(p, "user"), users[i]);
		assert_string_equal(value_of(p, "dialect"), "3.1.1");
		assert_string_equal(value_of(p, "status"), "0xc000006d");
	}
	free(p);
}

static void
styles(void **state)
{
	static const struct {
		struct logline_style style;
		const char *want;
		size_t text;
	} all[] = {
		{ { .format = LOG_FORMAT_TEXT }, "warning: hung\n", 9 },
		{ { .format = LOG_FORMAT_TEXT, .priority = true }, "<4>hung\n", 3 },
		{ { .format = LOG_FORMAT_TEXT, .time = true },
		    "2026-11-29T22:13:20.042Z warning: hung\n", 34 },
		{ { .format = LOG_FORMAT_TEXT, .time = true, .colour = true },
		    "2026-11-29T22:13:20.042Z \033[33mwarning: hung\033[0m\n", 39 },
		{ { .format = LOG_FORMAT_LOGFMT, .priority = true, .colour = true, .time = true },
		    "<4>ts=2026-11-29T22:13:20.042Z level=warning msg=hung\n", 3 },
		{ { .format = LOG_FORMAT_JSON, .priority = true, .colour = true },
		    "<4>{\"ts\":\"2026-11-29T22:13:20.042Z\",\"level\":\"warning\","
		    "\"msg\":\"hung\"}\n", 3 },
	};
	const struct log_fields none = { .event = LOG_EVENT_NONE };
	const struct log_record r = {
		.ts = when, .level = LOG_LEVEL_WARN, .fields = &none, .msg = "hung"
	};
	char line[LOGLINE_MAX + 1];
	size_t text;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		line[logline_make(line, &all[i].style, &r, &text)] = '\0';
		assert_string_equal(line, all[i].want);
		assert_int_equal(text, all[i].text);
	}
}

static void
words(void **state)
{
	enum log_level level;
	enum log_format format;

	(void)state;
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		assert_int_equal(log_level_parse(&level, log_level_str((enum log_level)i)), 0);
		assert_int_equal(level, i);
	}
	for (int i = LOG_FORMAT_TEXT; i <= LOG_FORMAT_JSON; i++) {
		assert_int_equal(log_format_parse(&format, log_format_str((enum log_format)i)), 0);
		assert_int_equal(format, i);
	}
	assert_int_equal(log_level_parse(&level, "warn"), -1);
	assert_int_equal(log_level_parse(&level, ""), -1);
	assert_int_equal(log_format_parse(&format, "xml"), -1);
	for (int e = LOG_EVENT_NONE + 1; e < LOG_EVENTS; e++)
		assert_non_null(log_event_str((enum log_event)e));
	assert_null(log_event_str(LOG_EVENT_NONE));
	assert_int_equal(log_event_budget(LOG_EVENT_NONE), 0);
}

static void
hostile(char *dst, size_t cap, unsigned *seed)
{
	size_t n = (size_t)rand_r(seed) % cap, len = 0;
	const char *p;
	char byte[2] = "";

	dst[0] = '\0';
	while (len < n) {
		p = pieces[(size_t)rand_r(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
		if (rand_r(seed) % 3 == 0) {
			byte[0] = (char)(1 + rand_r(seed) % 255);
			p = byte;
		}
		if (len + strlen(p) >= cap)
			break;
		strcpy(dst + len, p);
		len += strlen(p);
	}
}

/* What is read back of two formats is the same, and the rest of the line is what it was. */
static void
check_hostile(const char *user, const char *msg, struct pairs *json, struct pairs *logfmt)
{
	const struct log_fields f = everything(user, msg);
	char line[LOGLINE_MAX + 1];

	make(line, LOG_FORMAT_JSON, &f, msg);
	read_json(line, json);
	make(line, LOG_FORMAT_LOGFMT, &f, msg);
	read_logfmt(line, logfmt);
	assert_int_equal(json->n, 20);
	assert_int_equal(logfmt->n, 20);
	for (size_t i = 0; i < json->n; i++)
		assert_string_equal(value_of(logfmt, json->all[i].key), json->all[i].value);
	assert_string_equal(value_of(json, "ts"), when_text);
	assert_string_equal(value_of(json, "event"), "logon_failed");
	assert_string_equal(value_of(json, "client"), "10.1.0.7:50122");
	assert_string_equal(value_of(json, "status"), "0xc000006d");
	assert_string_equal(value_of(json, "by"), "0");
	assert_string_equal(value_of(json, "count"), "3");
	make(line, LOG_FORMAT_TEXT, &f, msg);
	assert_memory_equal(line, "warning: ", 9);
}

static void
hostile_values(void **state)
{
	struct pairs *json = calloc(1, sizeof(*json)), *logfmt = calloc(1, sizeof(*logfmt));
	char user[600], msg[LOGLINE_MSG_MAX];
	unsigned seed = 18;

	(void)state;
	assert_non_null(json);
	assert_non_null(logfmt);
	for (unsigned i = 0; i < ROUNDS; i++) {
		hostile(user, i % 50 == 0 ? sizeof(user) : 40, &seed);
		hostile(msg, i % 50 == 0 ? sizeof(msg) : 60, &seed);
		check_hostile(user, msg, json, logfmt);
	}
	free(json);
	free(logfmt);
}

/* What is good UTF-8 and short comes back as it was. */
static void
kept(void **state)
{
	static const char *const users[] = { "J\xc3\xb6rg \xe2\x82\xac", "DOM\\a\"b", "a=b c",
		"\\", "tab\there", "line\nline", "\x1b[0m", ("\xe2\x80\xae" "desrever"),
		"\xf0\x9f\x90\xa7", "" };
	struct pairs *p = calloc(1, sizeof(*p));
	char line[LOGLINE_MAX + 1];

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		const struct log_fields f = everything(users[i], users[i]);

		make(line, LOG_FORMAT_JSON, &f, users[i]);
		read_json(line, p);
		assert_string_equal(value_of(p, "user"), users[i]);
		assert_string_equal(value_of(p, "msg"), users[i]);
		make(line, LOG_FORMAT_LOGFMT, &f, users[i]);
		read_logfmt(line, p);
		assert_string_equal(value_of(p, "user"), users[i]);
	}
	free(p);
}

/* As long as all can be, and each byte of it escaped to six: cut, and still good. */
static void
longest(void **state)
{
	struct pairs *json = calloc(1, sizeof(*json)), *logfmt = calloc(1, sizeof(*logfmt));
	static const char *const fill[] = { "\x01", "x", "\xff", "\"", "\xf0\x9f\x90\xa7" };
	char big[3000], word[400];

	(void)state;
	assert_non_null(json);
	assert_non_null(logfmt);
	for (size_t i = 0; i < sizeof(fill) / sizeof(fill[0]); i++) {
		const size_t n = strlen(fill[i]);
		struct log_fields f;
		char line[LOGLINE_MAX + 1];

		for (size_t k = 0; k + n < sizeof(big); k += n)
			memcpy(big + k, fill[i], n + 1);
		for (size_t k = 0; k + n < sizeof(word); k += n)
			memcpy(word + k, fill[i], n + 1);
		check_hostile(big, big, json, logfmt);
		f = everything(big, big);
		f.session = UINT64_MAX;
		/* What jansson reads. */
		f.id = f.count = INT64_MAX;
		f.by = UINT32_MAX;
		f.listener = f.node = f.dialect = f.signing = f.cipher = word;
		f.protection = f.code = word;
		make(line, LOG_FORMAT_JSON, &f, big);
		read_json(line, json);
		assert_string_equal(value_of(json, "status"), "0xc000006d");
		make(line, LOG_FORMAT_LOGFMT, &f, big);
		read_logfmt(line, logfmt);
		assert_string_equal(value_of(logfmt, "count"), "9223372036854775807");
	}
	free(json);
	free(logfmt);
}

/* What a terminal may have of a text: base/plain.h. */
static void
terminals(void **state)
{
	static const struct {
		const char *given, *want;
	} all[] = {
		{ "", "" }, { "plain", "plain" }, { "a\nb\tc", "a\nb\tc" },
		{ "\x1b[31mred", "?[31mred" }, { "\x7f\r", "??" },
		{ "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc2\x9b" "31m", "?31m" },			/* CSI in one character */
		/* RLO, and the separator of lines */
		{ "a\xe2\x80\xae" "b\xe2\x80\xa8", "a?b?" },
		{ "\xff\xc3", "??" }, { "\xc0\x9b", "??" }, { "\xed\xa0\x80", "???" },
		{ "\xe2\x80", "??" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", all[i].given);
		plain_text(text);
		assert_string_equal(text, all[i].want);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact),
		cmocka_unit_test(joints),
		cmocka_unit_test(styles),
		cmocka_unit_test(words),
		cmocka_unit_test(kept),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(longest),
		cmocka_unit_test(terminals),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
