/* nodefile_json.h: a node-file in JSON, taken apart into nodes */
#ifndef POLICY_NODEFILE_JSON_H
#define POLICY_NODEFILE_JSON_H

#include "policy/noderow.h"

struct errlist;

/* As nodefile_read(). */
void nodefile_json(const char *text, const char *path, struct errlist *e, noderow_f row,
    void *arg);

#endif
