/* agent.c: a node's agent, asked again and again how the node is */
#include "config.h"

#include "nodes/agent.h"

#include "base/clock.h"
#include "base/log.h"
#include "nodes/node.h"
#include "nodes/own.h"
#include "policy/policy.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define AGENT_MAGIC 0x6167656eu

static void
wait_ms(struct event *ev, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(ev, &tv);
}

static void
agent_hang_up(struct agent *a)
{
	if (a->io != NULL)
		event_free(a->io);
	a->io = NULL;
	if (a->fd != -1)
		close(a->fd);
	a->fd = -1;
	if (a->patience != NULL)
		event_del(a->patience);
}

/* Said once for each word, not for each answer. */
static void
agent_word(struct agent *a, const struct agent_says *says)
{
	struct node *n = a->node;
	enum agent_word was = n->agent_word;

	if (was == says->word && n->agent_percent == says->percent) {
		node_agent_says(n, says);
		return;
	}
	node_agent_says(n, says);
	/* A node that is well, with an agent that has just come, is no news. */
	if (was == AGENT_NONE && says->word == AGENT_UP && says->percent == 100)
		return;
	log_warn("node %s: its agent says %s, weight %u%%%s%s", n->name,
	    agent_word_str(says->word), says->percent, says->why[0] != '\0' ? ": " : "", says->why);
}

/* It has no opinion. */
static void
agent_missed(struct agent *a, const char *why)
{
	const struct agent_says nothing = { .percent = 100 };
	struct node *n = a->node;

	n->agent_failures++;
	a->missed++;
	if (a->missed == 1)
		log_info("node %s: its agent has not answered: %s", n->name, why);
	/* By the policy in force: it may have become less since. */
	if (a->missed < a->fall || a->silent)
		return;
	a->silent = true;
	log_warn("node %s: its agent has not answered %u times: %s; the probes alone count",
	    n->name, a->missed, why);
	node_agent_says(n, &nothing);
}

/* why: NULL: a line is there. */
static void
agent_over(struct agent *a, const char *why)
{
	uint64_t now = clock_ms(), next = a->started_ms + a->interval;
	size_t len = strcspn(a->line, "\r\n");
	struct agent_says says;

	agent_hang_up(a);
	a->node->agent_asked++;
	if (why == NULL && agentline_read(&says, a->line, len) == -1)
		why = "its answer is not one of an agent";
	if (why != NULL) {
		agent_missed(a, why);
	} else {
		a->missed = 0;
		a->silent = false;
		a->node->agent_ms = now;
		agent_word(a, &says);
	}
	wait_ms(a->next, next > now ? next - now : 0);
}

static void
agent_read(struct agent *a)
{
	ssize_t n = recv(a->fd, a->line + a->have, sizeof(a->line) - 1 - a->have, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* Without its end a line may be cut short: "10%" of "100%". */
		agent_over(a, n == 0 ? "it closed before the end of a line" : strerror(errno));
		return;
	}
	if (memchr(a->line + a->have, '\0', (size_t)n) != NULL) {
		agent_over(a, "its answer is not text");
		return;
	}
	a->have += (size_t)n;
	a->line[a->have] = '\0';
	if (strpbrk(a->line, "\r\n") != NULL)
		agent_over(a, NULL);
	else if (a->have > AGENTLINE_MAX)
		agent_over(a, "its answer is too long");
}

/* socket() or connect() failed. */
static void
agent_failed(struct agent *a, int err, bool at_once)
{
	enum dial_fault f = dial_fault(err, at_once);

	if (f != DIAL_NODE)
		own_trouble(a->own, f, err, a->node, NULL);
	agent_over(a, strerror(err));
}

static void
agent_io_cb(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	(void)what;
	MAGIC_CHECK(a, AGENT_MAGIC);
	if (a->connected) {
		agent_read(a);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0) {
		agent_failed(a, err, false);
		return;
	}
	a->connected = true;
	event_free(a->io);
	a->io = event_new(a->base, fd, EV_READ | EV_PERSIST, agent_io_cb, a);
	if (a->io == NULL || event_add(a->io, NULL) == -1)
		agent_failed(a, ENOMEM, true);
}

static void
agent_patience_cb(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(a, AGENT_MAGIC);
	agent_over(a, a->connected ? "no answer in time" : "no connection in time");
}

static void
agent_ask(struct agent *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&a->address, &ss);

	a->have = 0;
	a->connected = false;
	a->line[0] = '\0';
	a->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd == -1 ||
	    (connect(a->fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS)) {
		agent_failed(a, errno, true);
		return;
	}
	a->io = event_new(a->base, a->fd, EV_WRITE, agent_io_cb, a);
	if (a->io == NULL || event_add(a->io, NULL) == -1)
		agent_failed(a, ENOMEM, true);
	else
		wait_ms(a->patience, a->timeout);
}

static void
agent_next_cb(evutil_socket_t fd, short what, void *arg)
{
	const struct agent_says nothing = { .percent = 100 };
	struct agent *a = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(a, AGENT_MAGIC);
	a->started_ms = clock_ms();
	if (node_in_maint(a->node)) {
		node_agent_says(a->node, &nothing);
		wait_ms(a->next, a->interval);
	} else {
		agent_ask(a);
	}
}

void
agent_policy(struct agent *a, const struct addrport *address, const struct pol_health *ph)
{
	const struct agent_says nothing = { .percent = 100 };
	const bool same = address != NULL && addr_equal(&address->addr, &a->address.addr) &&
	    address->port == a->address.port;
	const bool sooner = ph->interval < a->interval;
	const uint64_t now = clock_ms(), next = a->started_ms + ph->interval;

	a->interval = ph->interval;
	a->timeout = ph->timeout;
	a->fall = ph->fall;
	if (same && sooner && a->fd == -1)
		wait_ms(a->next, next > now ? next - now : 0);
	if (same || (address == NULL && a->address.port == 0))
		return;
	agent_hang_up(a);
	event_del(a->next);
	a->address = address != NULL ? *address : (struct addrport){ .port = 0 };
	a->missed = 0;
	a->silent = false;
	a->node->agent = a->address;
	node_agent_says(a->node, &nothing);
	if (a->address.port != 0)
		wait_ms(a->next, 0);
}

int
agent_init(struct agent *a, struct event_base *base, struct node *n, struct own *own)
{
	MAGIC_SET(a, AGENT_MAGIC);
	a->base = base;
	a->node = n;
	a->own = own;
	a->fd = -1;
	a->next = evtimer_new(base, agent_next_cb, a);
	a->patience = evtimer_new(base, agent_patience_cb, a);
	return a->next == NULL || a->patience == NULL ? -1 : 0;
}

void
agent_fini(struct agent *a)
{
	agent_hang_up(a);
	if (a->next != NULL)
		event_free(a->next);
	if (a->patience != NULL)
		event_free(a->patience);
	a->next = a->patience = NULL;
	MAGIC_CLEAR(a);
}
