/* schema_node.h: the sections node "NAME" of policy.conf */
#ifndef POLICY_SCHEMA_NODE_H
#define POLICY_SCHEMA_NODE_H

struct schema;

/* Every one of them, into the policy that is being loaded; errors go to the load's list. */
void schema_nodes(struct schema *l);

#endif
