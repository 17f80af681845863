/* tls.h: TLS to Redis and Sentinel: whom we believe, who we are, and the words for what fails */
#ifndef AUTH_TLS_H
#define AUTH_TLS_H

#include "base/keyfile.h"

struct addrport;
struct ssl_st;

/* name: what every server's certificate has to name; NULL: the address that is dialled. */
struct tls_conf {
	const char *ca_file;
	const char *cert_file, *key_file;	/* both or neither */
	const char *name;
};

#define TLS_WHY 200

/* One a process; from any thread. */
struct tls;

/*
 * Reads the files; the texts of conf are borrowed until the end. also: as for keyfile_open(), which
 * has to find the key good. NULL: *why says what is wrong.
 */
struct tls *tls_new(const struct tls_conf *conf, const struct keyfile_user *also,
    char why[KEYFILE_WHY]);
void tls_free(struct tls **t);

/* Can the files be read again, as who we are now? 0, or -1 and *why. */
int tls_check(struct tls *t, char why[KEYFILE_WHY]) __attribute__((warn_unused_result));

/*
 * For one connection to that address, the caller's to free. Files that have been replaced are read
 * again; where that fails, which is logged, those read last stay. NULL when memory is out.
 */
struct ssl_st *tls_open(void *tls, const struct addrport *to);
/*
 * Of a connection that has ended: what the server's certificate lacks, or the error (of OpenSSL) in
 * words. -1: it has ended as any connection may.
 */
int tls_why(struct ssl_st *ssl, unsigned long error, char dst[TLS_WHY]);
/* The last bytes of a connection, as far as they can be written at once. */
void tls_write_last(struct ssl_st *ssl, const void *p, size_t n);

#endif
