/* nodefile.h: the text of a node-file, as lines or as JSON, taken apart into nodes */
#ifndef POLICY_NODEFILE_H
#define POLICY_NODEFILE_H

#include "policy/noderow.h"

struct errlist;

/* 256 nodes have 40 KB at most. */
#define NODEFILE_MAX (1u << 20)

/*
 * "NAME ADDRESS [WEIGHT [STATE]] [cluster=NAME] [agent=ADDRESS]" a line, '#' comments; or, where
 * the first byte is a bracket, a JSON array of objects with the same keys. A text that ends in the
 * middle of a line may be cut short, and is an error. Calls row for each node that could be read;
 * what could not goes to *e, as errors of the file called path. text is written to.
 */
void nodefile_read(char *text, const char *path, struct errlist *e, noderow_f row, void *arg);

#endif
