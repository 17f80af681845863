/* addrwords.c: pure: what is wrong with a text that should be an address */
#include "config.h"

#include "policy/addrwords.h"

#include "base/addr.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

/* What is between the brackets of "[..]:445", or in front of the only colon, or everything. */
struct parts {
	char host[ADDR_STRLEN];
	const char *port;	/* NULL: none */
};

static void
take_apart(struct parts *p, const char *text)
{
	const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
	const char *from = text[0] == '[' ? text + 1 : text;

	p->port = NULL;
	if (text[0] == '[' && end != NULL)
		p->port = end[1] == ':' ? end + 2 : NULL;
	else if (end != NULL && strchr(end + 1, ':') == NULL)
		p->port = end + 1;
	else
		end = NULL;
	snprintf(p->host, sizeof(p->host), "%.*s",
	    (int)(end == NULL ? strlen(from) : (size_t)(end - from)), from);
	p->host[strcspn(p->host, "/")] = '\0';
}

/* Of another notation altogether. */
static const char *
foreign(const char *text)
{
	size_t n = strlen(text);

	if (n > 0 && (isspace((unsigned char)text[0]) || isspace((unsigned char)text[n - 1])))
		return "a blank stands before or behind it, within the quotes";
	if (strstr(text, "://") != NULL)
		return "a URL; only the address is wanted, and a port where it may have one";
	if (strncmp(text, "\\\\", 2) == 0 || strncmp(text, "//", 2) == 0)
		return "a UNC path; only the address is wanted";
	if (strpbrk(text, ",; ") != NULL)
		return "more than one word; each address needs quotes of its own";
	if (strchr(text, '%') != NULL)
		return "it has a zone id (the part from % on), and link-local addresses of one "
		       "interface cannot be used: give another address of the same machine";
	return NULL;
}

static const char *
bad_brackets(enum addrwords_form form, const char *text)
{
	const char *close = strchr(text, ']');

	if (text[0] != '[' && close == NULL)
		return NULL;
	if (form != ADDRWORDS_ADDRPORT)
		return "brackets have no place here: they set an IPv6 address off from a port";
	if (text[0] != '[')
		return "the opening bracket is missing";
	if (close == NULL)
		return "the closing bracket is missing";
	if (memchr(text, ':', (size_t)(close - text)) == NULL)
		return "brackets are for IPv6 addresses only";
	if (close[1] != '\0' && close[1] != ':')
		return "what stands behind the bracket is no port";
	return NULL;
}

static const char *
bad_port(const char *port, char *dst, size_t n)
{
	if (port == NULL || (port[0] != '0' && strspn(port, DIGITS) == strlen(port) &&
	    strlen(port) <= 5 && port[0] != '\0' && atoi(port) <= 65535))
		return NULL;
	snprintf(dst, n, "\"%s\" is not a port, which is 1 to 65535", port);
	return dst;
}

/* An IPv4 address, nearly. */
static const char *
bad_v4(const char *host, char *dst, size_t n)
{
	unsigned parts = 1;

	if (host[0] == '\0' || strspn(host, DIGITS ".") != strlen(host))
		return NULL;
	if (strchr(host, '.') == NULL)
		return "a number alone; for all addresses write 0.0.0.0 or [::] before the port";
	for (const char *s = host;; parts++) {
		size_t len = strspn(s, DIGITS);

		if (len > 1 && s[0] == '0')
			return "a number has a leading zero, which some programs take for octal";
		if (len > 3 || (len > 0 && atoi(s) > 255)) {
			snprintf(dst, n, "%.*s is more than 255", (int)len, s);
			return dst;
		}
		if (s[len] == '\0')
			break;
		s += len + 1;
	}
	if (parts == 4)
		return NULL;
	snprintf(dst, n, "an IPv4 address has four numbers, and not %u", parts);
	return dst;
}

static const char *
bad_length(const char *text, char *dst, size_t n)
{
	const char *slash = strchr(text, '/');
	char host[ADDR_STRLEN], net[ADDR_STRLEN], one[ADDR_STRLEN];
	struct addr a;
	struct prefix p;
	unsigned most, len;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(host))
		return NULL;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	if (addr_parse(&a, host) == -1)
		return NULL;
	most = strchr(host, ':') == NULL ? 32 : 128;
	if (strchr(slash, '.') != NULL)
		return "a mask in dots; write its length, such as /24";
	if (slash[1] == '\0' || strspn(slash + 1, DIGITS) != strlen(slash + 1) ||
	    strlen(slash + 1) > 3 || (unsigned)atoi(slash + 1) > most) {
		snprintf(dst, n, "\"%s\" is not a length, which is 0 to %u here", slash + 1, most);
		return dst;
	}
	len = (unsigned)atoi(slash + 1);
	p = (struct prefix){ .addr = a, .len = (uint8_t)(most == 32 ? len + 96 : len) };
	for (unsigned bit = p.len; bit < 128; bit++)
		p.addr.b[bit / 8] &= (uint8_t)(0xff - (0x80 >> bit % 8));
	snprintf(dst, n, "host bits are set: for the network write \"%s\", for the address \"%s\"",
	    prefix_str(&p, net), addr_str(&a, one));
	return dst;
}

/* Nothing of an address is in it, but a name may be. */
static bool
is_name(const char *host)
{
	bool letters = false;

	for (const char *s = host; *s != '\0'; s++) {
		if (!isalnum((unsigned char)*s) && strchr("-_.", *s) == NULL)
			return false;
		letters |= isalpha((unsigned char)*s) != 0;
	}
	return letters;
}

const char *
addrwords(enum addrwords_form form, const char *text, char *dst, size_t n)
{
	const char *why = foreign(text);
	struct parts p;

	if (why == NULL && form == ADDRWORDS_PREFIX)
		why = bad_length(text, dst, n);
	if (why == NULL && form != ADDRWORDS_PREFIX && strchr(text, '/') != NULL)
		why = "a length (from / on) has no place here";
	if (why == NULL)
		why = bad_brackets(form, text);
	if (why != NULL)
		return why;
	take_apart(&p, text);
	if (p.port != NULL && form != ADDRWORDS_ADDRPORT)
		return "a port has no place here";
	if (strcmp(p.host, "*") == 0 || (p.host[0] == '\0' && p.port != NULL))
		return "for all addresses write 0.0.0.0 or [::], and the port behind it";
	why = bad_v4(p.host, dst, n);
	if (why == NULL && is_name(p.host))
		why = "a name; names are not looked up: write its address";
	if (why == NULL && p.port != NULL)
		why = bad_port(p.port, dst, n);
	if (why == NULL && text[0] != '[' && form == ADDRWORDS_ADDRPORT &&
	    strspn(text, DIGITS "abcdefABCDEF:.") == strlen(text) && strchr(text, ':') != NULL)
		why = "not an IPv6 address; one with a port needs brackets, as in [fd00::1]:445";
	return why;
}

bool
addrwords_lacks_brackets(const char *text)
{
	static const char *const ports[] = { "445", "139", "9446" };
	const char *last = strrchr(text, ':');
	char host[ADDR_STRLEN];
	struct addr a;

	/* "fd00::445" is somebody's choice of an address. */
	if (last == NULL || last == text || last[-1] == ':' || text[0] == '[' ||
	    (size_t)(last - text) >= sizeof(host) || addr_parse(&a, text) == -1)
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(last - text), text);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (strcmp(last + 1, ports[i]) == 0)
			return addr_parse(&a, host) == 0;
	return false;
}
