/* http.h: what is seen of smbgate over HTTP: to be read, by few at a time, and nothing changes */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

struct addrport;
struct conf;
struct ctl_env;
struct http;
struct process;

/* A listening socket; -1: the reason is logged. */
int http_bind(const struct conf *conf) __attribute__((warn_unused_result));
/* Could its address be bound? -1 with errno. */
int http_try(const struct conf *conf) __attribute__((warn_unused_result));

/*
 * Serves on env's loop, and takes over the socket. env and process are borrowed until http_free().
 * NULL when out of memory.
 */
struct http *http_new(const struct ctl_env *env, struct process *process, int fd);
/* Another process serves the socket. Nobody is accepted here any more; who has come is answered. */
void http_retire(struct http *h);
void http_free(struct http **h);

#endif
