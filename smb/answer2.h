/* answer2.h: how long the answer to an SMB2 request may well be */
#ifndef SMB_ANSWER2_H
#define SMB_ANSWER2_H

#include <stddef.h>

struct part2;

/*
 * How much room to keep for the answer to that request, a message at msg. READ and QUERY_DIRECTORY
 * are answered with as much as they ask for, [MS-SMB2] 3.3.5.12, 3.3.5.18; nothing else is likely
 * to be long, whatever its request allows.
 */
size_t answer2_room(const struct part2 *p, const unsigned char *msg);

#endif
