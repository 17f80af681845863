/* ctlsocket.h: a control socket with all that it needs, and clients that ask at it, for tests */
#ifndef T_UNIT_LIB_CTLSOCKET_H
#define T_UNIT_LIB_CTLSOCKET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/secret.h"
#include "daemon/ctl_env.h"
#include "policy/conf.h"
#include "proxy/worker.h"
#include "stats/stats.h"

/* All that the control socket needs, its one worker on the same thread: the test sets the order. */
struct fixture {
	char dir[32];
	char path[64];
	struct secret secret;
	struct conf conf;
	struct worker_parts parts;
	struct worker *worker;
	struct mailbox *mailbox;
	struct ctl_status status;
	struct ctl_env env;
	struct stats main_stats;
	struct ctl *ctl;
	uint64_t leave_ms;	/* the deadline of an order to stop */
	bool taken;		/* it finds that another process has taken over */
};

/* Fixtures of cmocka's: a directory for the socket, and no more; all of it. */
int setup_dir(void **state);
int teardown_dir(void **state);
int setup(void **state);
int teardown(void **state);

/* One turn, which waits for nothing. */
void run_main(struct fixture *f);
void run_worker(struct fixture *f);

/* -1: nobody is there. */
int dial(const char *path);
void put_text(int fd, const char *text);
/* What comes until the end, as JSON; closes fd. NULL when nothing came. */
json_t *get_answer(struct fixture *f, int fd);
/* The three of them in a row. */
json_t *ask(struct fixture *f, const char *request);

/* It is one; o is the caller's no more. */
void assert_error(json_t *o);

/* At a path like "nodes.0.name"; borrowed. */
json_t *at(json_t *o, const char *path);

#define assert_text(o, path, want) assert_string_equal(json_string_value(at(o, path)), want)
#define assert_number(o, path, want) assert_int_equal(json_integer_value(at(o, path)), want)
#define assert_bool(o, path, want) assert_int_equal(json_is_true(at(o, path)), want)

#endif
