/* opens.h: how many files a session has open, by tree */
#ifndef INSPECT_OPENS_H
#define INSPECT_OPENS_H

#include <stdbool.h>
#include <stdint.h>

/* NULL: none, and none so far. Not for several threads at once. */
struct opens;
struct tlv_in;
struct tlv_out;

/* In the place of a TreeId: an answer in the async form has none, [MS-SMB2] 2.2.1.1. */
#define OPENS_NO_TREE 0xffffffffu

/*
 * The node has opened a file, has closed one, has disconnected a tree with all its files. While the
 * node says what is so there are never more files than are counted; and there are less only where
 * a tree went with files whose tree was not known. Who says that a file was closed which was not
 * open changes nothing. -1: memory is out, and it is not counted.
 */
int opens_opened(struct opens **o, uint32_t tree) __attribute__((warn_unused_result));
void opens_closed(struct opens *o, uint32_t tree);
void opens_disconnected(struct opens *o, uint32_t tree);

unsigned opens_total(const struct opens *o);

/* Of a record: see record.h. The reader makes *o; 0, or -1, and what there is is to be freed. */
void opens_put(const struct opens *o, struct tlv_out *out);
int opens_get(struct opens **o, struct tlv_in in) __attribute__((warn_unused_result));
/* Do both say the same, or as good as that? */
bool opens_same(const struct opens *a, const struct opens *b);

/* Clears the caller's pointer. */
void opens_free(struct opens **o);

#endif
