/* operate.h: what smbgatectl waits for: nodes that empty, smbgate's end, clients that move */
#ifndef CTL_OPERATE_H
#define CTL_OPERATE_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/*
 * A line a second until the node is empty, or what ends it. Its exit status: 0: it is empty. path:
 * of the control socket.
 */
int operate_wait(const char *path, const char *node, bool json);

/*
 * The order to stop, which has "wait": a line a second, as above, until smbgate has ended. Its exit
 * status. 0: nobody was left, or who was had had the time that was given.
 */
int operate_stop(const char *path, const json_t *request, bool json);

/*
 * What has become of the moves of an answer; their end is waited for. Or why
 * smbgate does not answer any more, as ask() says it. NULL: out of memory. */
json_t *operate_moved(const char *path, const json_t *answer);

void show_killed(const json_t *answer, bool all, FILE *out);
void show_moved(const json_t *answer, bool all, FILE *out);
void show_stop(const json_t *answer, bool all, FILE *out);

#endif
