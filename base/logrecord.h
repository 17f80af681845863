/* logrecord.h: what one line of the log says, as values */
#ifndef BASE_LOGRECORD_H
#define BASE_LOGRECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct addrport;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* NONE: a line of no event, or of one that has no name here. */
enum log_event {
	LOG_EVENT_NONE,
#define EVENT(name, text, budget) LOG_EVENT_##name,
#include "base/logevent.tbl.h"
#undef EVENT
	LOG_EVENTS
};

/* The name in the log; NULL for NONE. */
const char *log_event_str(enum log_event e);
/* So many lines of it are written in a second; 0: all. */
unsigned log_event_budget(enum log_event e);

/* "error", "warning", "info", "debug". */
const char *log_level_str(enum log_level level);
/* -1: there is no such level. */
int log_level_parse(enum log_level *level, const char *text);
const char *log_format_str(enum log_format format);
int log_format_parse(enum log_format *format, const char *text);

/*
 * What a line is about, beside its text; what is not known, or does not matter, stays 0. It is
 * borrowed while the line is written.
 */
struct log_fields {
	enum log_event event;
	uint64_t id;			/* of the connection */
	const struct addrport *client, *local;
	const char *listener, *node, *user, *dialect, *signing, *cipher, *protection;
	const char *code, *reason;
	uint64_t session;
	uint32_t status;		/* NTSTATUS */
	bool has_by;
	unsigned by;			/* the uid of who gave the order */
	uint64_t count;			/* of lines left out */
};

/* Of an event, and of one at a node. */
static inline struct log_fields
log_of(enum log_event event)
{
	return (struct log_fields){ .event = event };
}

static inline struct log_fields
log_of_node(enum log_event event, const char *node)
{
	return (struct log_fields){ .event = event, .node = node };
}

/* All that a line says. */
struct log_record {
	struct timespec ts;
	enum log_level level;
	const struct log_fields *fields;
	bool prefix;			/* text alone: the line begins with the connection */
	const char *msg;
};

#endif
