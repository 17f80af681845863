/* http_request.c: pure: the head of a request over HTTP, as far as it matters here */
#include "config.h"

#include "daemon/http_request.h"

#include <ctype.h>
#include <string.h>

#define METHOD_MAX 32

size_t
http_head_len(const char *bytes, size_t len)
{
	/* A line may end without the CR, [RFC 9112] 2.2. */
	for (size_t i = 1; i < len; i++)
		if (bytes[i] == '\n' && (bytes[i - 1] == '\n' ||
		        (i > 1 && bytes[i - 1] == '\r' && bytes[i - 2] == '\n')))
			return i + 1;
	return 0;
}

/* The next word of a line, in front of a blank or of its end; moves p behind both. */
static size_t
word(const char **p, const char *end, const char **start)
{
	*start = *p;
	while (*p < end && **p != ' ')
		++*p;
	return (size_t)((*p < end ? (*p)++ : *p) - *start);
}

static bool
is(const char *text, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

/* "http://host/path" is "/path", [RFC 9112] 3.2.2. */
static void
strip_origin(const char **target, size_t *len)
{
	static const char scheme[] = "http://";
	const char *slash;

	if (*len < sizeof(scheme) - 1 || memcmp(*target, scheme, sizeof(scheme) - 1) != 0)
		return;
	slash = memchr(*target + sizeof(scheme) - 1, '/', *len - (sizeof(scheme) - 1));
	*len = slash == NULL ? 0 : *len - (size_t)(slash - *target);
	*target = slash;
}

static void
take_path(struct http_request *r, const char *target, size_t len)
{
	const char *query;

	strip_origin(&target, &len);
	if (len == 0) {
		strcpy(r->path, "/");
		return;
	}
	query = memchr(target, '?', len);
	if (query != NULL)
		len = (size_t)(query - target);
	if (len >= sizeof(r->path))
		len = 0;
	memcpy(r->path, target, len);
	r->path[len] = '\0';
}

int
http_request_get(struct http_request *r, const char *head, size_t len)
{
	const char *end = memchr(head, '\n', len), *p = head, *method, *target, *version;
	size_t nmethod, ntarget, nversion;

	*r = (struct http_request){ .head = false };
	if (end == NULL)
		return 400;
	if (end > head && end[-1] == '\r')
		end--;
	for (const char *c = head; c < end; c++)
		if (!isprint((unsigned char)*c))
			return 400;
	nmethod = word(&p, end, &method);
	ntarget = word(&p, end, &target);
	nversion = word(&p, end, &version);
	if (nmethod == 0 || nmethod > METHOD_MAX || ntarget == 0 || p != end || nversion < 5 ||
	    memcmp(version, "HTTP/", 5) != 0)
		return 400;
	if (!is(version, nversion, "HTTP/1.1") && !is(version, nversion, "HTTP/1.0"))
		return 505;
	r->head = is(method, nmethod, "HEAD");
	if (!r->head && !is(method, nmethod, "GET"))
		return 405;
	if (target[0] != '/' && (ntarget < 7 || memcmp(target, "http://", 7) != 0))
		return 400;
	take_path(r, target, ntarget);
	return 0;
}
