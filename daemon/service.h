/* service.h: what the service manager is told: ready, how it stands, reloading, stopping */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_env;
struct service;

/*
 * sd_notify(3), on the main thread; without a service manager, or without libsystemd, each of these
 * does nothing. env is borrowed. NULL: out of memory.
 */
struct service *service_new(const struct ctl_env *env);
void service_free(struct service **s);

/* Everything serves. From now on its status is told, and its watchdog is fed. */
void service_ready(struct service *s);
/* The main thread is at something that takes long: its watchdog is fed now. */
void service_works(void);
/* It is to wait for what becomes of a new policy: service_ready() says that. */
void service_reloading(void);
/* smbgate ends. */
void service_stopping(void);

/* Another process goes on: it is the service from now on. */
void service_handed(uint32_t pid);
#define SERVICE_NOTIFY 108
/* What that needs to know: where the manager is told, and whether its watchdog waits. */
void service_describe(char notify[SERVICE_NOTIFY], bool *watched);
/* Before the first thread: goes on as a process that was told so. */
void service_inherit(const char *notify, bool watched);

#endif
