/* stream.h: an answer of smbgate that goes on for a while, until it ends or is stopped */
#ifndef CTL_STREAM_H
#define CTL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct stream;

/*
 * Sends the request, and reads the first line of the answer, into *first: a new object. NULL: that
 * has "error", or it is NULL and memory is out. From here on SIGINT and SIGTERM stop the stream in
 * place of the program. It ends soon behind the "for_ms" of that line.
 */
struct stream *stream_open(const char *path, const json_t *request, json_t **first);
void stream_close(struct stream **s);

/* No more is wanted: what is on its way still comes, and then the end. */
void stream_stop(struct stream *s);

/*
 * Waits until there are at least n bytes, which are valid until the next call; *have: how many
 * there are. NULL: the stream has ended before them, or smbgate does not go on.
 */
const uint8_t *stream_need(struct stream *s, size_t n, size_t *have);
/* The first n of them are done with. */
void stream_skip(struct stream *s, size_t n);
/* Is nothing there that could be read without waiting? */
int stream_idle(const struct stream *s);

/* The next line, to be freed by the caller; NULL: there is none, as above. */
json_t *stream_line(struct stream *s);

#endif
