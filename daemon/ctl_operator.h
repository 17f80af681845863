/* ctl_operator.h: what an operator has done to nodes and clients: drain, maint, kill, move, stop */
#ifndef DAEMON_CTL_OPERATOR_H
#define DAEMON_CTL_OPERATOR_H

#include "daemon/json.h"

struct ctl_env;
struct ctl_later;

/* Each as ctl_request(). */
json_t *operator_drain(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
json_t *operator_undrain(const struct ctl_env *env, const json_t *request,
    struct ctl_later *later);
json_t *operator_maint(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
json_t *operator_progress(const struct ctl_env *env, const json_t *request,
    struct ctl_later *later);
json_t *operator_kill(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
json_t *operator_move(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
json_t *operator_moved(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
json_t *operator_stop(const struct ctl_env *env, const json_t *request, struct ctl_later *later);

#endif
