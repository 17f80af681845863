/* addr.h: IPv4/IPv6 addresses and prefixes: parse, normalise, print, compare, match */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * An address is always held in its one normal form: 16 bytes in network order, IPv4 as
 * ::ffff:a.b.c.d. So an IPv4 address and its v4-mapped twin are the same value, and every
 * comparison (listener, announced list, policy, wire) is a memcmp.
 */
struct addr {
	uint8_t b[16];
};

/* An address with a TCP port, host byte order; port 0 = none. */
struct addrport {
	struct addr addr;
	uint16_t port;
};

/* A prefix in normal form: len counts bits of the 16 bytes (IPv4 /24 is 120); host bits are 0. */
struct prefix {
	struct addr addr;
	uint8_t len;
};

/* Room for the longest text with its NUL: "[v6]:65535" and "v6/128". */
#define ADDR_STRLEN 64

/* All parsers: 0, or -1 when the text is not wholly of that form. No names, no zone ids. */
int addr_parse(struct addr *dst, const char *text) __attribute__((warn_unused_result));
/* "10.0.0.1:445", "[fd00::1]:445"; default_port (0 = a port is required) where none is given. */
int addrport_parse(struct addrport *dst, const char *text, uint16_t default_port)
    __attribute__((warn_unused_result));
/*
 * "10.1.0.0/24", "fd00:1::/64", or an address alone (host prefix). v4-mapped prefixes of 96 bits
 * and more are folded into IPv4. Host bits that are set are an error: they are a likely mistake.
 */
int prefix_parse(struct prefix *dst, const char *text) __attribute__((warn_unused_result));

/* The host prefix (/32 or /128) of an address. */
struct prefix prefix_host(const struct addr *a);

const char *addr_str(const struct addr *a, char dst[ADDR_STRLEN]);
const char *addrport_str(const struct addrport *a, char dst[ADDR_STRLEN]);
const char *prefix_str(const struct prefix *p, char dst[ADDR_STRLEN]);

bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_v4(const struct addr *a);
/* 0.0.0.0 or :: */
bool addr_is_unspecified(const struct addr *a);
/* 169.254.0.0/16 or fe80::/10 */
bool addr_is_linklocal(const struct addr *a);
/* 127.0.0.0/8 or ::1 */
bool addr_is_loopback(const struct addr *a);
bool prefix_match(const struct prefix *p, const struct addr *a);
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* IPv4 from 4 bytes, IPv6 from 16 bytes (v4-mapped becomes IPv4), both in network order. */
struct addr addr_from_v4(const uint8_t b[4]);
struct addr addr_from_v6(const uint8_t b[16]);

/* To and from the kernel. addrport_from_sa: -1 for other families. Returns the length used. */
int addrport_from_sa(struct addrport *dst, const struct sockaddr *sa)
    __attribute__((warn_unused_result));
socklen_t addrport_to_sa(const struct addrport *a, struct sockaddr_storage *ss);

#endif
