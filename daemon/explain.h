/* explain.h: pure: why a session's client uses, or does not use, several channels */
#ifndef DAEMON_EXPLAIN_H
#define DAEMON_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

struct channel_info;
struct policy;
struct session_info;

/* Does `who` name this session: its id, its client's GUID or address, its principal or a part? */
bool explain_names(const char *who, const struct session_info *si,
    const struct channel_info *channels, size_t n);

/* Calls emit() with each finding, one sentence, the weightiest first; there is always one. */
void explain(const struct policy *p, const struct session_info *si,
    const struct channel_info *channels, size_t n, void (*emit)(void *arg, const char *text),
    void *arg);

#endif
