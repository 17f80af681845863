/* wait.h: what a held frame of a connection waits for, and which of its directions goes on then */
#ifndef PROXY_WAIT_H
#define PROXY_WAIT_H

#include "inspect/verdict.h"

struct conn;
struct side;

enum wait {
	WAIT_NONE,
#define WAIT(name, direction) WAIT_##name,
#include "proxy/wait.tbl.h"
#undef WAIT
	WAIT_COUNT
};

/*
 * While a frame waits, its direction stands still: nothing of it is read, and the other direction
 * goes on. Each wait belongs to one direction, and ends for that one alone.
 */

/* The outcome of a frame of s that has to wait for w. */
struct outcome wait_for(struct side *s, enum wait w);

/*
 * What w is for has come, or may have: the frame that waits for it, if one does, is to be shown
 * again. The caller has progress_settle() do so, from the loop or from a pump's call.
 */
void wait_over(struct conn *c, enum wait w);

/*
 * A frame of s was judged, and inspection may have given up what a frame of the other direction
 * waits for, such as a logon: that one is shown again.
 */
void wait_judged(struct side *s);

#endif
