/* tls.c: TLS to Redis and Sentinel: whom we believe, who we are, and the words for what fails */
#include "config.h"

#include "auth/tls.h"

#include "base/addr.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* A bundle of all public authorities has a quarter of that. */
#define FILE_MAX (1u << 20)

enum { CA, CERT, KEY, FILES };

static const char *const options[FILES] = { "tls-ca-file", "tls-cert-file", "tls-key-file" };

/* A file as it was read: another one has another inode, or another time. */
struct tls_file {
	struct stat st;
	char *bytes;
	size_t len;
};

struct tls {
	struct tls_conf conf;
	pthread_mutex_t lock;		/* of what follows; a leaf, but for the log */
	SSL_CTX *ctx;
	struct stat read[FILES];	/* what ctx was made of */
	char said[KEYFILE_WHY];		/* why they could not be read again */
};

static const char *
tls_path(const struct tls_conf *c, int which)
{
	return which == CA ? c->ca_file : which == CERT ? c->cert_file : c->key_file;
}

static void
file_fini(struct tls_file *f)
{
	if (f->bytes != NULL)
		OPENSSL_cleanse(f->bytes, f->len);
	free(f->bytes);
	f->bytes = NULL;
}

static int
file_open(const struct tls_conf *c, int which, const struct keyfile_user *also, struct stat *st,
    char why[KEYFILE_WHY])
{
	const char *path = tls_path(c, which);
	char reason[KEYFILE_WHY] = "";
	int fd = which == KEY ? keyfile_open(path, also, reason)
	    : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd != -1 && fstat(fd, st) == 0)
		return fd;
	snprintf(why, KEYFILE_WHY, "%s: %.180s", options[which],
	    reason[0] != '\0' ? reason : strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

static int
file_read(const struct tls_conf *c, int which, const struct keyfile_user *also, struct tls_file *f,
    char why[KEYFILE_WHY])
{
	int fd = file_open(c, which, also, &f->st, why);
	ssize_t n = 1;

	if (fd == -1)
		return -1;
	f->bytes = malloc(FILE_MAX);
	while (f->bytes != NULL && n > 0 && f->len < FILE_MAX) {
		n = read(fd, f->bytes + f->len, FILE_MAX - f->len);
		f->len += n > 0 ? (size_t)n : 0;
	}
	if (f->bytes == NULL || n == -1)
		snprintf(why, KEYFILE_WHY, "%s: %s", options[which], strerror(errno));
	else if (n > 0)
		snprintf(why, KEYFILE_WHY, "%s: more than %u bytes", options[which], FILE_MAX);
	close(fd);
	return n == 0 ? 0 : -1;
}

/* A key that wants a passphrase is not usable: nobody is asked for one. */
static int
no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

static bool
use_ca(SSL_CTX *ctx, BIO *from)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	bool any = false;
	X509 *x;

	while ((x = PEM_read_bio_X509(from, NULL, no_passphrase, NULL)) != NULL) {
		any |= X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	return any;
}

static bool
use_cert(SSL_CTX *ctx, BIO *from)
{
	X509 *x = PEM_read_bio_X509(from, NULL, no_passphrase, NULL);
	bool good = x != NULL && SSL_CTX_use_certificate(ctx, x) == 1;

	X509_free(x);
	/* Those between it and the authority. */
	while (good && (x = PEM_read_bio_X509(from, NULL, no_passphrase, NULL)) != NULL) {
		good = SSL_CTX_add1_chain_cert(ctx, x) == 1;
		X509_free(x);
	}
	return good;
}

static bool
use_key(SSL_CTX *ctx, BIO *from)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(from, NULL, no_passphrase, NULL);
	bool good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return good;
}

static int
use_file(SSL_CTX *ctx, int which, const struct tls_file *f, char why[KEYFILE_WHY])
{
	BIO *from = BIO_new_mem_buf(f->bytes, (int)f->len);
	bool good = from != NULL && (which == CA ? use_ca(ctx, from)
	    : which == CERT ? use_cert(ctx, from) : use_key(ctx, from));
	unsigned long error = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(error);

	if (reason == NULL || ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
		reason = "nothing of use is in it, or not in PEM";
	if (!good)
		snprintf(why, KEYFILE_WHY, "%s: %s", options[which], reason);
	BIO_free(from);
	ERR_clear_error();
	return good ? 0 : -1;
}

static SSL_CTX *
context_new(char why[KEYFILE_WHY])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		snprintf(why, KEYFILE_WHY, "OpenSSL does not start");
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

/* Made of the files as they are now. NULL and why. */
static SSL_CTX *
read_all(const struct tls_conf *c, const struct keyfile_user *also, struct stat st[FILES],
    char why[KEYFILE_WHY])
{
	SSL_CTX *ctx = context_new(why);
	int r = ctx == NULL ? -1 : 0;

	for (int i = 0; i < FILES && r == 0; i++) {
		struct tls_file f = { .len = 0 };

		if (tls_path(c, i) == NULL)
			continue;
		r = file_read(c, i, also, &f, why);
		if (r == 0)
			r = use_file(ctx, i, &f, why);
		st[i] = f.st;
		file_fini(&f);
	}
	if (r == 0 && c->key_file != NULL && SSL_CTX_check_private_key(ctx) != 1) {
		snprintf(why, KEYFILE_WHY, "tls-key-file is not the key of tls-cert-file");
		r = -1;
	}
	ERR_clear_error();
	if (r == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* Has one of the files been replaced? What cannot be looked at has not, as far as we know. */
static bool
replaced(const struct tls *t)
{
	for (int i = 0; i < FILES; i++) {
		const struct stat *was = &t->read[i];
		char why[KEYFILE_WHY];
		struct stat st;
		int fd;

		if (tls_path(&t->conf, i) == NULL)
			continue;
		fd = file_open(&t->conf, i, NULL, &st, why);
		if (fd == -1)
			continue;
		close(fd);
		if (st.st_dev != was->st_dev || st.st_ino != was->st_ino ||
		    st.st_size != was->st_size || st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
		    st.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
			return true;
	}
	return false;
}

static void
read_again(struct tls *t)
{
	char why[KEYFILE_WHY] = "";
	struct stat st[FILES];
	SSL_CTX *ctx;

	if (!replaced(t))
		return;
	ctx = read_all(&t->conf, NULL, st, why);
	if (ctx != NULL) {
		SSL_CTX_free(t->ctx);
		t->ctx = ctx;
		memcpy(t->read, st, sizeof(st));
		log_info("the certificates for Redis have changed, and are read again");
	} else if (strcmp(why, t->said) != 0) {
		log_warn("the certificates for Redis have changed, and the old ones stay in use: "
		         "%s", why);
	}
	memcpy(t->said, why, sizeof(why));
}

struct tls *
tls_new(const struct tls_conf *conf, const struct keyfile_user *also, char why[KEYFILE_WHY])
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		snprintf(why, KEYFILE_WHY, "%s", strerror(errno));
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->conf = *conf;
	t->ctx = read_all(conf, also, t->read, why);
	if (t->ctx == NULL)
		tls_free(&t);
	return t;
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	pthread_mutex_destroy(&t->lock);
	free(t);
	*tp = NULL;
}

int
tls_check(struct tls *t, char why[KEYFILE_WHY])
{
	struct stat st[FILES];
	SSL_CTX *ctx = read_all(&t->conf, NULL, st, why);

	SSL_CTX_free(ctx);
	return ctx == NULL ? -1 : 0;
}

struct ssl_st *
tls_open(void *tls, const struct addrport *to)
{
	struct tls *t = tls;
	/* OpenSSL's macro for the name of TLS casts the const away. */
	const bool named = t->conf.name != NULL;
	char text[ADDR_STRLEN], *name = named ? strdup(t->conf.name) : NULL;
	SSL *ssl;
	bool good;

	pthread_mutex_lock(&t->lock);
	read_again(t);
	ssl = SSL_new(t->ctx);
	pthread_mutex_unlock(&t->lock);
	if (ssl == NULL) {
		free(name);
		return NULL;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (named)
		good = name != NULL && SSL_set1_host(ssl, name) == 1 &&
		    SSL_set_tlsext_host_name(ssl, name) == 1;
	else
		good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
		           addr_str(&to->addr, text)) == 1;
	free(name);
	if (!good) {
		SSL_free(ssl);
		ssl = NULL;
	}
	return ssl;
}

int
tls_why(struct ssl_st *ssl, unsigned long error, char dst[TLS_WHY])
{
	const char *reason = ERR_reason_error_string(error);
	long verified = SSL_get_verify_result(ssl);

	if (verified != X509_V_OK)
		snprintf(dst, TLS_WHY, "TLS: its certificate: %s",
		    X509_verify_cert_error_string(verified));
	else if (ERR_GET_LIB(error) == 0 || ERR_SYSTEM_ERROR(error) ||
	    ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return -1;
	else if (ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER)
		snprintf(dst, TLS_WHY, "TLS: what answers there does not speak it");
	else
		snprintf(dst, TLS_WHY, "TLS: %s", reason == NULL ? "an error" : reason);
	return 0;
}

void
tls_write_last(struct ssl_st *ssl, const void *p, size_t n)
{
	size_t written;

	if (n > 0)
		(void)SSL_write_ex(ssl, p, n, &written);
	(void)SSL_shutdown(ssl);
	ERR_clear_error();
}
