/* schema_listener.h: the sections listener "NAME" of policy.conf */
#ifndef POLICY_SCHEMA_LISTENER_H
#define POLICY_SCHEMA_LISTENER_H

struct schema;

/* Reads them into the policy; what they do not say is what the whole file says, read before. */
void schema_listeners(struct schema *l);

#endif
