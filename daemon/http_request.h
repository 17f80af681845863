/* http_request.h: pure: the head of a request over HTTP, as far as it matters here */
#ifndef DAEMON_HTTP_REQUEST_H
#define DAEMON_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_PATH_MAX 64

struct http_request {
	bool head;			/* HEAD: the answer has no body */
	char path[HTTP_PATH_MAX];	/* up to a "?"; "": longer than any that is */
};

/* How long the head is in these bytes, with the empty line at its end; 0: it is not whole yet. */
size_t http_head_len(const char *bytes, size_t len);

/*
 * Reads the first line, [RFC 9112] 3; header fields say nothing that matters. 0, or the status of
 * the answer: it is no request (400), of another HTTP (505), or wants another method (405).
 */
int http_request_get(struct http_request *r, const char *head, size_t len)
    __attribute__((warn_unused_result));

#endif
