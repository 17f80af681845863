/* setup_redis.c: is the set-up right? Redis, and the other proxies there */
#include "config.h"

#include "ctl/ask.h"
#include "ctl/field.h"
#include "ctl/found.h"
#include "ctl/setup.h"
#include "ctl/setup_priv.h"
#include "policy/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 3
#define REPLY_MAX 128

/* -1 with errno. */
static int
redis_connect(const struct conf_server *server)
{
	const struct timeval wait = { PATIENCE_S, 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_storage ss;
	const struct sockaddr *sa = (const struct sockaddr *)&ss;
	socklen_t len;
	int fd, saved;

	if (server->path[0] != '\0') {
		memcpy(sun.sun_path, server->path, strlen(server->path) + 1);
		sa = (const struct sockaddr *)&sun;
		len = sizeof(sun);
	} else {
		len = addrport_to_sa(&server->address, &ss);
	}
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, sa, len) == 0)
		return fd;
	saved = errno == EINPROGRESS ? ETIMEDOUT : errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Without smbgate: does a Redis, or a Sentinel, answer there? Any line of its own will do. */
static void
ask_server(const struct setup *s, const struct conf_server *server)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	char text[CONF_SOCKET_MAX], reply[REPLY_MAX] = "";
	const char *name = server->path[0] != '\0' ? server->path : text;
	int fd = redis_connect(server);
	ssize_t n = 0;

	if (server->path[0] == '\0')
		addrport_str(&server->address, text);
	if (fd != -1 && send(fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) == sizeof(ping) - 1)
		n = recv(fd, reply, sizeof(reply) - 1, 0);
	if (n == -1 && errno == EAGAIN)
		errno = ETIMEDOUT;
	if (n > 0 && (reply[0] == '+' || reply[0] == '-'))
		check_found(s->c, "redis-answers", CHECK_OK, name, NULL, "it answers");
	else
		check_found(s->c, "redis-answers", CHECK_FAIL, name,
		    "start Redis, and let this machine connect", "it does not answer: %s",
		    fd != -1 && n >= 0 ? "it is no Redis" : strerror(errno));
	if (fd != -1)
		close(fd);
}

static void
ask_servers(const struct setup *s)
{
	const struct conf_redis *r = &s->conf->redis;

	for (size_t i = 0; i < r->nservers; i++) {
		if (r->tls)
			check_found(s->c, "redis-answers", CHECK_SKIP, "Redis",
			    "start smbgate, and check again", "only smbgate speaks TLS to Redis");
		else
			ask_server(s, &r->servers[i]);
	}
	check_found(s->c, "redis-secret", CHECK_SKIP, "Redis", "start smbgate, and check again",
	    "only a smbgate that runs can read what other proxies have there");
	check_found(s->c, "redis-nodes", CHECK_SKIP, "Redis", "start smbgate, and check again",
	    "only a smbgate that runs can read what other proxies have there");
}

/* Of the others in Redis: another secret with our nodes, or other nodes with our secret. */
static void
check_peers(const struct setup *s, const json_t *peers)
{
	unsigned secrets = 0, nodes = 0;
	const json_t *o;
	size_t i;

	json_array_foreach(peers, i, o) {
		const bool secret = bool_of(o, "same_secret"), same = bool_of(o, "same_nodes");

		if (!secret && same) {
			secrets++;
			check_found(s->c, "redis-secret", CHECK_FAIL, text_of(o, "name"),
			    "give both the same cluster-secret, and restart them",
			    "this proxy has the same nodes and another cluster-secret");
		}
		if (secret && !same) {
			nodes++;
			check_found(s->c, "redis-nodes", CHECK_FAIL, text_of(o, "name"),
			    "give both the same nodes, weights and drains in policy.conf",
			    "this proxy has the same cluster-secret and other nodes");
		}
	}
	if (secrets == 0)
		check_found(s->c, "redis-secret", CHECK_OK, "Redis", NULL,
		    "no proxy with our nodes has another cluster-secret, of %zu others",
		    json_array_size(peers));
	if (nodes == 0)
		check_found(s->c, "redis-nodes", CHECK_OK, "Redis", NULL,
		    "no proxy with our cluster-secret has other nodes, of %zu others",
		    json_array_size(peers));
}

static void
check_state(const struct setup *s, const json_t *state)
{
	const char *trouble = text_of(state, "trouble");

	if (bool_of(state, "connected") && !bool_of(state, "degraded"))
		check_found(s->c, "redis-answers", CHECK_OK, "Redis", NULL,
		    "smbgate is connected to %s", text_of(state, "server"));
	else
		check_found(s->c, "redis-answers", CHECK_FAIL, "Redis",
		    "start Redis, and let this machine connect",
		    "smbgate is without it: %s", trouble);
	check_peers(s, json_object_get(state, "peers"));
}

void
setup_redis(const struct setup *s)
{
	static const char *const ids[] = { "redis-answers", "redis-secret", "redis-nodes" };
	json_t *request, *answer = NULL;

	if (s->conf->redis.nservers == 0) {
		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
			check_found(s->c, ids[i], CHECK_SKIP, "Redis", NULL,
			    "there is no state \"redis\": the map is in smbgate's memory");
		return;
	}
	request = json_pack("{s:s, s:s}", "cmd", "show", "what", "state");
	if (s->ask->socket != NULL)
		answer = ask(s->ask->socket, request);
	json_decref(request);
	if (json_object_get(json_object_get(answer, "state"), "connected") != NULL)
		check_state(s, json_object_get(answer, "state"));
	else
		ask_servers(s);
	json_decref(answer);
}
