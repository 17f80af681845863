/* conf.tbl.h: every setting of smbgate.conf, once */
/*
 * The rows are those of settings.tbl.h; the structures are those of conf.h. A TEXT or PATH is an
 * allocated string there, or NULL.
 */

SETTING("root", "policy", conf, policy, PATH, "policy.conf", 0, 0)
SETTING("root", "workers", conf, workers, NUMBER, "0", 0, CONF_WORKERS_MAX)
SETTING("root", "control", conf, control, PATH, "/run/smbgate/control.sock", 0, 0)
SETTING("root", "control-group", conf, control_group, TEXT, NULL, 0, 0)
SETTING("root", "user", conf, user, TEXT, NULL, 0, 0)
SETTING("root", "cluster-secret", conf, cluster_secret, PATH, NULL, 0, 0)
SETTING("root", "pid-file", conf, pid_file, PATH, NULL, 0, 0)
SETTING("root", "confine", conf, confine, BOOL, "true", 0, 0)
SETTING("root", "log", conf, log_format, WORD, "text", 0, 0, "text", "logfmt", "json")
SETTING("root", "log-level", conf, log_level, WORD, "info", 0, 0, "error", "warning", "info", "debug")
OTHER("root", "http", ADDRPORT)
SETTING("root", "http-details", conf, http_details, BOOL, "false", 0, 0)
SETTING("root", "keytab", conf, keytab, PATH, NULL, 0, 0)
LIST("root", "keytab-services", TEXT)
SETTING("root", "keytab-rate", conf, keytab_rate, NUMBER, "500", 1, 100000)
/* NULL is not "smbgate-keyd": where there is no user of that name, guard.c has another default. */
SETTING("root", "keyd-user", conf, keyd_user, TEXT, NULL, 0, 0)
OTHER("root", "auth-winbind", BOOL)

OTHER("listen", "address", ADDRPORT)
SETTING("listen", "netbios", conf_listen, netbios, WORD, "auto", 0, 0, "false", "true", "auto")
SETTING("listen", "intercept", conf_listen, intercept, BOOL, "false", 0, 0)
OTHER("listen", "cluster", NAME)
LIST("listen", "proxy-protocol", PREFIX)

LIST("state", "servers", TEXT)
SETTING("state", "sentinel", conf, redis.sentinel, TEXT, NULL, 0, 0)
SETTING("state", "user", conf, redis.user, TEXT, NULL, 0, 0)
SETTING("state", "password-file", conf, redis_password, PATH, NULL, 0, 0)
SETTING("state", "sentinel-user", conf, redis.sentinel_user, TEXT, NULL, 0, 0)
SETTING("state", "sentinel-password-file", conf, sentinel_password, PATH, NULL, 0, 0)
SETTING("state", "tls", conf, redis.tls, BOOL, "false", 0, 0)
SETTING("state", "tls-ca-file", conf, tls_ca, PATH, NULL, 0, 0)
SETTING("state", "tls-cert-file", conf, tls_cert, PATH, NULL, 0, 0)
SETTING("state", "tls-key-file", conf, tls_key, PATH, NULL, 0, 0)
SETTING("state", "tls-name", conf, redis.tls_name, TEXT, NULL, 0, 0)
SETTING("state", "timeout", conf, redis.timeout_ms, DURATION, "50ms", 5, 5000)
