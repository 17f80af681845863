/* progress.h: how a connection goes on: frames judged by its stage, facts followed, waits ended */
#ifndef PROXY_PROGRESS_H
#define PROXY_PROGRESS_H

#include <stdbool.h>

#include <event2/util.h>

#include "proxy/pump.h"

struct conn;

/* Of each pump of a connection; their arg is the side. */
extern const struct pump_ops progress_ops;

/*
 * After each run of a pump, with its result, and whenever something was waited for that has come:
 * goes on as far as it can. False when the connection is over.
 */
bool progress_settle(struct conn *c, enum pump_result r, enum close_reason why);

/* Of mediate: a frame of that direction need not wait any more. arg: the connection. */
void progress_wake(void *arg, enum dir dir);

/* Of the connection's timer. arg: the connection. */
void progress_timer_cb(evutil_socket_t fd, short what, void *arg);

#endif
