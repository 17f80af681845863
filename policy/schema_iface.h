/* schema_iface.h: the sections interfaces "LISTENER" of policy.conf */
#ifndef POLICY_SCHEMA_IFACE_H
#define POLICY_SCHEMA_IFACE_H

struct schema;

/* Every one of them, into the policy that is being loaded; errors go to the load's list. */
void schema_interfaces(struct schema *l);

#endif
