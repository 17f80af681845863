/* metrics.h: pure: what is seen of smbgate, in Prometheus' text format */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <stdio.h>

struct facts;

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * Names and labels are a public interface, described in doc/smbgatectl.1.md. No label has a client,
 * a user, a GUID or a session.
 */
void metrics_print(const struct facts *f, FILE *out);

#endif
