/* turn.h: which legs of a connection are read, and whose turn it is to read */
#ifndef PROXY_TURN_H
#define PROXY_TURN_H

struct conn;

/* Reads those legs that may be read now, from the loop and never out of the call. */
void turn_update(struct conn *c);

/* It has more to read, after those that wait already. */
void turn_ask(struct conn *c);
/* Its turn has come, or is not needed any more. */
void turn_take(struct conn *c);

#endif
