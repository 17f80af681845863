/* cluster.h: what the cluster secret is used for: authentic values, and keys that travel wrapped */
#ifndef AUTH_CLUSTER_H
#define AUTH_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

struct secret;

/* One a process; from any thread. */
struct cluster;

/* The secret is borrowed until the end. NULL when memory is out. */
struct cluster *cluster_new(const struct secret *s);
void cluster_free(struct cluster **c);

/* Longest input of cluster_mac(), both parts together. */
#define CLUSTER_MAC_MAX 512
/* What cluster_wrap() adds. */
#define CLUSTER_WRAP_EXTRA 40

/*
 * HMAC-SHA256 of a, b (their lengths count) under a key that is derived from the secret for this
 * label alone; of labels there are few. An empty secret gives a constant key, and so a checksum.
 * cluster: a struct cluster. -1 when memory is out or the input too long.
 */
int cluster_mac(const void *cluster, const char *label, const void *a, size_t an, const void *b,
    size_t bn, uint8_t out[32]);

/*
 * AES-256-GCM under a key derived from the secret and a random salt, for this text alone: n +
 * CLUSTER_WRAP_EXTRA bytes to out. ad is what the text is bound to. -1 when it cannot be done, or
 * the secret is empty.
 */
int cluster_wrap(const struct secret *s, const void *ad, size_t ad_len, const uint8_t *text,
    size_t n, uint8_t *out) __attribute__((warn_unused_result));
/* n: of the wrapped text. -1: it was not wrapped by this secret and bound to ad; out is wiped. */
int cluster_unwrap(const struct secret *s, const void *ad, size_t ad_len, const uint8_t *wrapped,
    size_t n, uint8_t *out) __attribute__((warn_unused_result));

#endif
