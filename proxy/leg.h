/* leg.h: one socket of a connection: events, options, reading, writing, closing */
#ifndef PROXY_LEG_H
#define PROXY_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct pol_tcp;

/* fd -1: not open. Events are armed by hand: reading is switched, writing asked for once. */
struct leg {
	int fd;
	bool reading;
	bool writing;
	struct event rd, wr;
};

void leg_init(struct leg *l);
/* Takes over a non-blocking socket. Callbacks get arg. */
void leg_open(struct leg *l, struct event_base *base, int fd, event_callback_fn rd,
    event_callback_fn wr, void *arg);
/* reset: the peer gets RST instead of FIN. */
void leg_close(struct leg *l, bool reset);

/* Both do nothing when it is so already. */
void leg_read(struct leg *l, bool on);
void leg_write(struct leg *l, bool on);

/* As recv(2)/send(2), never blocking, without SIGPIPE and EINTR. */
ssize_t leg_recv(struct leg *l, void *dst, size_t n);
ssize_t leg_send(struct leg *l, const void *src, size_t n);

/* Has the peer gone while nobody was reading? Costs a system call. */
bool leg_broken(const struct leg *l);

/* Has the peer's kernel taken everything that was sent? */
bool leg_sent_all(const struct leg *l);

/* Keepalive, TCP_USER_TIMEOUT (ms) and no delay; a failure is not worth a connection. */
void leg_tcp(int fd, const struct pol_tcp *tcp, unsigned user_timeout_ms);

#endif
