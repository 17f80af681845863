/* conn.c: one client connection: two legs, two pumps, from accept to the last byte */
#include "config.h"

#include "proxy/conn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wr.h"
#include "policy/policy.h"
#include "proxy/first.h"
#include "proxy/leg.h"
#include "proxy/limits.h"
#include "proxy/mediate.h"
#include "proxy/node.h"
#include "proxy/pump.h"
#include "proxy/route.h"
#include "proxy/session.h"
#include "proxy/stats.h"
#include "proxy/worker.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/nbss.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Reads of one connection before the others of the worker have their turn. */
#define READ_ROUNDS 4
/* For the last bytes of a connection that has ended on one side. */
#define FLUSH_MS 5000
/*
 * smbd hands a connection that opened with SMB1 to the process that holds the client's GUID; for
 * a moment after its NEGOTIATE answer a SESSION_SETUP can be lost between the two, and is never
 * answered. Only such connections wait this long.
 */
#define CALM_MS 50

/* One direction: read from its leg, judged by its pump, written to the other side's leg. */
struct side {
	struct conn *conn;
	enum dir dir;
	bool eof;
	struct leg leg;
	struct pump pump;
	struct buf out;		/* judged, and not yet taken by the other leg's kernel */
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct worker *w;
	enum conn_stage stage;
	enum first_kind kind;
	enum close_reason why;	/* of the end, once it is decided */
	bool counted;		/* among those without a logon, see proxy/limits.h */
	bool resume;		/* c2s waits for nothing any more */
	bool raw;		/* the frame that waits is SMB1 and goes to the node unjudged */
	bool started;		/* its turn by the accept rate has come */
	bool logged_on;
	bool negotiated;
	bool half_closed;	/* the node has been told that the client is through */
	enum close_reason send_failed;
	uint64_t accepted_ms;
	uint64_t connect_by_ms;	/* while CONN_CONNECT */
	uint64_t end_by_ms;	/* while something is flushed or half closed; 0 = no */
	uint64_t calm_until_ms;	/* 0 = no */
	uint64_t owed_since_ms;	/* the client asked then and the node has not sent a byte since */
	uint8_t *replay;	/* the SMB1 NEGOTIATE of a multi-protocol opening */
	size_t replay_len;
	struct node *node;	/* a reference, and counted in its connections */
	struct route route;
	struct mediate mediate;
	struct event timer;
	struct side side[2];
};

const char *
conn_stage_str(enum conn_stage s)
{
	static const char *const text[] = { "first", "second", "route", "connect", "replay", "relay",
		"flush", "dead" };

	return text[s];
}

static bool
over(const struct conn *c)
{
	return c->stage >= CONN_FLUSH;
}

/* The peer that this side's bytes go to. */
static struct side *
other(struct side *s)
{
	return &s->conn->side[!s->dir];
}

/* Life and death. */

static void
node_leave(struct conn *c)
{
	if (c->node == NULL)
		return;
	atomic_fetch_sub(&c->node->connections, 1);
	node_unref(&c->node);
	c->mediate.node = NULL;
}

static void
stranger_no_more(struct conn *c)
{
	if (!c->counted)
		return;
	c->counted = false;
	limits_leave(c->w->parts->limits, &c->mediate.self.client.addr);
}

static bool
ordinary(enum close_reason why)
{
	return why == CLOSE_CLIENT_EOF || why == CLOSE_CLIENT_RESET || why == CLOSE_SHUTDOWN;
}

static void
log_end(struct conn *c)
{
	char client[ADDR_STRLEN];
	unsigned left_out;

	if (ordinary(c->why)) {
		log_debug("conn %" PRIu64 " %s>%s closed: %s", c->mediate.self.conn_id,
		    addrport_str(&c->mediate.self.client, client),
		    c->node != NULL ? c->node->name : "-", close_text(c->why));
		return;
	}
	if (!log_allow(&c->w->log, clock_ms(), &left_out))
		return;
	if (left_out > 0)
		log_info("%u lines about closed connections left out", left_out);
	log_info("conn %" PRIu64 " %s>%s closed in stage %s: %s", c->mediate.self.conn_id,
	    addrport_str(&c->mediate.self.client, client), c->node != NULL ? c->node->name : "-",
	    conn_stage_str(c->stage), close_text(c->why));
}

/* reset: the client is to notice at once, nothing is on its way to it. */
static void
die(struct conn *c, bool reset)
{
	struct worker *w = c->w;

	if (c->stage == CONN_DEAD)
		return;
	log_end(c);
	stats_closed(&w->stats, c->why);
	c->stage = CONN_DEAD;
	event_del(&c->timer);
	leg_close(&c->side[C2S].leg, reset);
	leg_close(&c->side[S2C].leg, false);
	stranger_no_more(c);
	route_fini(&c->route);
	mediate_fini(&c->mediate);
	node_leave(c);
	TAILQ_REMOVE(&w->conns, c, entry);
	TAILQ_INSERT_TAIL(&w->dead, c, entry);
	w->nconns--;
	event_active(w->reap, EV_TIMEOUT, 0);
}

void
conn_free(struct conn *c)
{
	assert(c->stage == CONN_DEAD);
	for (int i = 0; i < 2; i++) {
		pump_fini(&c->side[i].pump);
		buf_fini(&c->side[i].out);
	}
	free(c->replay);
	free(c);
}

void
conn_kill(struct conn *c, enum close_reason why)
{
	if (c->stage == CONN_DEAD)
		return;
	if (c->stage != CONN_FLUSH)
		c->why = why;
	die(c, true);
}

/* Deadlines: one timer, set to whatever comes first in this stage. 0: none. */

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t
deadline(const struct conn *c, enum close_reason *why)
{
	const struct pol_limits *l = &c->w->policy->limits;

	*why = CLOSE_FLUSH_TIMEOUT;
	if (c->end_by_ms != 0)
		return c->end_by_ms;
	if (c->stage == CONN_FIRST) {
		*why = CLOSE_FIRST_FRAME_TIMEOUT;
		return c->accepted_ms + l->first_frame;
	}
	if (!c->negotiated) {
		*why = CLOSE_NEGOTIATE_TIMEOUT;
		return c->accepted_ms + l->negotiate;
	}
	if (!c->logged_on) {
		*why = CLOSE_LOGON_TIMEOUT;
		return c->accepted_ms + l->logon;
	}
	return 0;
}

static void
arm(struct conn *c)
{
	enum close_reason why;
	uint64_t when = deadline(c, &why), now;
	struct timeval tv = { 0, 0 };

	if (c->stage == CONN_DEAD)
		return;
	when = sooner(when, c->calm_until_ms);
	if (c->stage == CONN_CONNECT)
		when = sooner(when, c->connect_by_ms);
	if (when == 0) {
		event_del(&c->timer);
		return;
	}
	now = clock_ms();
	if (when > now) {
		tv.tv_sec = (time_t)((when - now) / 1000);
		tv.tv_usec = (suseconds_t)((when - now) % 1000 * 1000);
	}
	event_add(&c->timer, &tv);
}

void
conn_end(struct conn *c, enum close_reason why)
{
	struct side *s2c = &c->side[S2C];

	if (c->stage == CONN_DEAD)
		return;
	/* It was the client who began the end. */
	if (c->half_closed)
		why = CLOSE_CLIENT_EOF;
	if (c->stage == CONN_FLUSH || buf_len(&s2c->out) == 0 || c->side[C2S].leg.fd == -1 ||
	    why == CLOSE_CLIENT_RESET) {
		if (c->stage != CONN_FLUSH)
			c->why = why;
		/* The quickest word to the client; but never over bytes that are on their way. */
		die(c, (why == CLOSE_NODE_RESET || why == CLOSE_NODE_DOWN || why == CLOSE_NODE_HUNG) &&
		    buf_len(&s2c->out) == 0 && leg_sent_all(&c->side[C2S].leg));
		return;
	}
	/* Answers that the node gave are delivered, whatever else went wrong. */
	c->why = why;
	c->stage = CONN_FLUSH;
	leg_close(&s2c->leg, false);
	leg_read(&c->side[C2S].leg, false);
	c->end_by_ms = clock_ms() + FLUSH_MS;
	arm(c);
}

/* Moving bytes. */

static void
update_reading(struct conn *c)
{
	struct side *c2s = &c->side[C2S], *s2c = &c->side[S2C];

	if (c->stage == CONN_DEAD)
		return;
	/* A side is read while its last bytes have been taken and no frame of it waits. */
	leg_read(&c2s->leg, !over(c) && c->started && !c2s->eof && !c2s->pump.waiting &&
	    buf_len(&c2s->out) == 0);
	leg_read(&s2c->leg, (c->stage == CONN_RELAY || c->stage == CONN_REPLAY) && !s2c->eof &&
	    !s2c->pump.waiting && buf_len(&s2c->out) == 0);
}

/* pump_ops.send: to the other leg; what the kernel does not take stays in out. */
static int
send_op(void *arg, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	struct leg *to = &other(s)->leg;
	ssize_t sent = 0;

	if (c->stage == CONN_DEAD || to->fd == -1) {
		c->send_failed = s->dir == C2S ? CLOSE_NODE_RESET : CLOSE_CLIENT_RESET;
		return -1;
	}
	if (buf_len(&s->out) == 0) {
		sent = leg_send(to, p, n);
		if (sent == -1) {
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				c->send_failed = s->dir == C2S ? CLOSE_NODE_RESET : CLOSE_CLIENT_RESET;
				return -1;
			}
			sent = 0;
		}
	}
	stats_add(&c->w->stats, s->dir == C2S ? STAT_bytes_to_node : STAT_bytes_to_client, n);
	if ((size_t)sent == n)
		return 0;
	if (buf_add(&s->out, p + sent, n - (size_t)sent) == -1) {
		c->send_failed = CLOSE_NO_MEMORY;
		return -1;
	}
	leg_write(to, true);
	return 0;
}

static void
half_close(struct conn *c)
{
	if (c->half_closed || buf_len(&c->side[C2S].out) > 0 || c->side[S2C].leg.fd == -1)
		return;
	c->half_closed = true;
	shutdown(c->side[S2C].leg.fd, SHUT_WR);
}

/* Writable: the bytes that wait for this leg are those of the other side's direction. */
static void
write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = other(arg);
	struct conn *c = s->conn;
	struct leg *to = &((struct side *)arg)->leg;
	ssize_t n;

	(void)fd;
	(void)what;
	n = leg_send(to, buf_head(&s->out), buf_len(&s->out));
	if (n == -1) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			conn_end(c, s->dir == C2S ? CLOSE_NODE_RESET : CLOSE_CLIENT_RESET);
		return;
	}
	buf_drain(&s->out, (size_t)n);
	if (buf_len(&s->out) > 0)
		return;
	leg_write(to, false);
	if (c->stage == CONN_FLUSH) {
		die(c, false);
		return;
	}
	if (s->dir == C2S && s->eof)
		half_close(c);
	update_reading(c);
}

/* The first frames. */

static void connect_node(struct conn *c);

static void
routed_cb(void *arg, struct node *node, enum close_reason why)
{
	struct conn *c = arg;

	if (over(c)) {
		node_unref(&node);
		return;
	}
	if (node == NULL) {
		conn_end(c, why);
		return;
	}
	c->node = node;
	atomic_fetch_add(&node->connections, 1);
	c->mediate.node = node;
	connect_node(c);
}

static struct outcome
wait_for_node(struct conn *c, const struct first *f)
{
	struct state_key key = f->has_guid ? route_key_guid(&f->guid)
	                                   : route_key_addr(&c->mediate.self.client.addr);

	c->stage = CONN_ROUTE;
	route_start(&c->route, &c->w->route, &key, routed_cb, c);
	return (struct outcome){ .act = OUTCOME_WAIT };
}

/* Answer the SMB1 NEGOTIATE with 0x02ff as the node would, and learn the GUID from what follows. */
static struct outcome
answer_multi(struct conn *c, const uint8_t *frame, size_t len)
{
	uint8_t blob[NODE_BLOB_MAX], out[NBSS_HDR_LEN + SMB2_HDR_LEN + 64 + NODE_BLOB_MAX];
	struct wr w = wr_init(out, sizeof(out));
	struct neg2_resp r;

	c->replay = malloc(len);
	if (c->replay == NULL)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_NO_MEMORY };
	memcpy(c->replay, frame, len);
	c->replay_len = len;
	nodes_answer(c->w->parts->nodes, &r, blob);
	r.dialect = SMB2_DIALECT_2FF;
	/* What 2.1 knows, [MS-SMB2] 3.3.5.3.1: the rest depends on a dialect that is not chosen yet. */
	r.capabilities &= SMB2_GLOBAL_CAP_DFS | SMB2_GLOBAL_CAP_LEASING | SMB2_GLOBAL_CAP_LARGE_MTU;
	wr_zero(&w, NBSS_HDR_LEN);
	neg2_resp_put(&w, &r);
	assert(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	c->stage = CONN_SECOND;
	stats_add(&c->w->stats, STAT_multi_protocol, 1);
	if (send_op(&c->side[S2C], out, wr_len(&w)) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = c->send_failed };
	return (struct outcome){ .act = OUTCOME_DROP };
}

static struct outcome
refuse_smb1(struct conn *c, const struct first *f)
{
	uint8_t out[NBSS_HDR_LEN + 64];
	struct wr w = wr_init(out, sizeof(out));

	wr_zero(&w, NBSS_HDR_LEN);
	neg1_refuse_put(&w, &f->hdr1);
	assert(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	stats_add(&c->w->stats, STAT_smb1_refused, 1);
	(void)send_op(&c->side[S2C], out, wr_len(&w));
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_SMB1_REFUSED };
}

static struct outcome
first_frame(struct conn *c, const uint8_t *frame, size_t len)
{
	struct first f = first_judge(frame, len);

	if (f.kind == FIRST_BAD)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = f.why };
	/* What follows a multi-protocol opening is SMB2 and nothing else. */
	if (c->stage == CONN_SECOND && f.kind != FIRST_SMB2)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_SEQUENCE };
	if (c->stage == CONN_FIRST)
		c->kind = f.kind;
	switch (f.kind) {
	case FIRST_MULTI:
		return answer_multi(c, frame, len);
	case FIRST_SMB1:
		if (c->w->policy->smb1 == POL_SMB1_REFUSE)
			return refuse_smb1(c, &f);
		break;
	default:
		break;
	}
	c->raw = f.kind != FIRST_SMB2;
	return wait_for_node(c, &f);
}

/* The first frame of a client whose packet goes to the node as it is. */
static struct outcome
pass_raw(struct conn *c)
{
	struct track *t = &c->mediate.track;
	/* The answer to SMB1's NEGOTIATE may be SMB2's, with MessageId 0: [MS-SMB2] 3.3.5.3.2. */
	const struct pending p = { .kind = PENDING_NEGOTIATE, .command = SMB2_NEGOTIATE };
	enum close_reason why;

	c->raw = false;
	t->smb1_offered = c->w->policy->smb1 == POL_SMB1_ALLOW;
	t->negotiating = true;
	if (c->kind == FIRST_SMB2_002 && track_ask(t, &p, &why) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
	return (struct outcome){ .act = OUTCOME_PASS };
}

/* The node's answer to the replayed SMB1 NEGOTIATE: the client has had its own. */
static struct outcome
swallow_answer(struct conn *c, const uint8_t *frame, size_t len)
{
	struct neg2_resp r;

	if (neg2_resp_get(&r, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN) == -1 ||
	    r.dialect != SMB2_DIALECT_2FF)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNEXPECTED_ANSWER };
	free(c->replay);
	c->replay = NULL;
	c->stage = CONN_RELAY;
	c->resume = true;
	return (struct outcome){ .act = OUTCOME_DROP };
}

/* Pump operations. */

static struct verdict
head_op(void *arg, const uint8_t *p, size_t avail)
{
	struct side *s = arg;
	struct conn *c = s->conn;

	if (c->stage < CONN_REPLAY || c->raw)
		return classify_first(&c->mediate.track, p, avail);
	return classify(&c->mediate.track, s->dir, p, avail);
}

static struct verdict
part_op(void *arg, const uint8_t *p, size_t avail, size_t left)
{
	struct side *s = arg;

	return classify_part(&s->conn->mediate.track, s->dir, p, avail, left);
}

static struct outcome
held_op(void *arg, const uint8_t *frame, size_t len)
{
	struct side *s = arg;
	struct conn *c = s->conn;

	switch (c->stage) {
	case CONN_FIRST:
	case CONN_SECOND:
		return first_frame(c, frame, len);
	case CONN_REPLAY:
		if (s->dir == S2C)
			return swallow_answer(c, frame, len);
		return (struct outcome){ .act = OUTCOME_WAIT };
	case CONN_RELAY:
		if (s->dir == C2S && c->raw)
			return pass_raw(c);
		if (s->dir == C2S && c->calm_until_ms != 0)
			return (struct outcome){ .act = OUTCOME_WAIT };
		return mediate_held(&c->mediate, s->dir, frame, len);
	default:
		return (struct outcome){ .act = OUTCOME_WAIT };
	}
}

static const struct pump_ops ops = {
	.head = head_op,
	.part = part_op,
	.held = held_op,
	.send = send_op,
};

/* What the facts now say about the connection's progress. */
static void
progress(struct conn *c)
{
	const struct track *t = &c->mediate.track;

	if (!c->negotiated && (t->negotiated || t->smb1)) {
		c->negotiated = true;
		if (c->kind == FIRST_MULTI && c->route.others > 0)
			c->calm_until_ms = clock_ms() + CALM_MS;
		arm(c);
	}
	if (!c->logged_on && t->logged_on) {
		c->logged_on = true;
		stranger_no_more(c);
		route_firm(&c->route);
		stats_add(&c->w->stats, STAT_logged_on, 1);
		arm(c);
	}
}

/* After each run of a pump: false when the connection is over. */
static bool
settle(struct conn *c, enum pump_result r, enum close_reason why)
{
	for (;;) {
		if (over(c))
			return false;
		if (r != PUMP_OK) {
			conn_end(c, r == PUMP_CLOSE ? why : c->send_failed);
			return false;
		}
		progress(c);
		if (!c->resume)
			break;
		c->resume = false;
		r = pump_resume(&c->side[C2S].pump, &ops, &c->side[C2S], &why);
	}
	update_reading(c);
	return true;
}

static void
resume(struct conn *c)
{
	c->resume = true;
	(void)settle(c, PUMP_OK, 0);
}

/* The peer of this side has sent its last byte. */
static void
end_of_file(struct side *s)
{
	struct conn *c = s->conn;

	s->eof = true;
	if (s->dir == S2C) {
		conn_end(c, CLOSE_NODE_EOF);
		return;
	}
	c->why = CLOSE_CLIENT_EOF;
	if (c->stage != CONN_RELAY) {
		conn_end(c, CLOSE_CLIENT_EOF);
		return;
	}
	/* SMB has no half-open state: the node hears of it once it has all that the client sent. */
	c->end_by_ms = clock_ms() + FLUSH_MS;
	half_close(c);
	update_reading(c);
	arm(c);
}

static void
note_byte(struct side *s)
{
	struct conn *c = s->conn;

	if (s->dir == S2C)
		c->owed_since_ms = 0;
	else if (c->owed_since_ms == 0)
		c->owed_since_ms = clock_ms();
}

static void
read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct conn *c = s->conn;

	(void)fd;
	(void)what;
	for (int i = 0; i < READ_ROUNDS && s->leg.reading; i++) {
		enum close_reason why = CLOSE_NO_MEMORY;
		enum pump_result r;
		size_t room;
		uint8_t *dst = pump_room(&s->pump, &room);
		bool kept = dst != NULL;
		ssize_t n;

		if (!kept && room != 0) {
			conn_end(c, CLOSE_NO_MEMORY);
			return;
		}
		if (!kept) {
			dst = c->w->scratch;
			room = sizeof(c->w->scratch);
		}
		n = leg_recv(&s->leg, dst, room);
		if (n == -1) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				conn_end(c, s->dir == C2S ? CLOSE_CLIENT_RESET : CLOSE_NODE_RESET);
			return;
		}
		if (n == 0) {
			end_of_file(s);
			return;
		}
		note_byte(s);
		r = kept ? pump_received(&s->pump, &ops, s, (size_t)n, &why)
		         : pump_feed(&s->pump, &ops, s, dst, (size_t)n, &why);
		if (!settle(c, r, why) || (size_t)n < room)
			return;
	}
}

/* The node's leg. */

static void
connect_failed(struct conn *c)
{
	struct node *failed = c->node;

	stats_add(&c->w->stats, STAT_node_connect_failed, 1);
	/* The health checks look at it at once. */
	atomic_store(&failed->suspect_ms, clock_ms());
	leg_close(&c->side[S2C].leg, false);
	c->node = NULL;
	c->mediate.node = NULL;
	atomic_fetch_sub(&failed->connections, 1);
	c->stage = CONN_ROUTE;
	route_again(&c->route, failed);
	node_unref(&failed);
}

static void
connected(struct conn *c)
{
	c->stage = CONN_RELAY;
	if (c->replay != NULL) {
		c->stage = CONN_REPLAY;
		if (send_op(&c->side[C2S], c->replay, c->replay_len) == -1) {
			conn_end(c, c->send_failed);
			return;
		}
		update_reading(c);
		arm(c);
		return;
	}
	arm(c);
	resume(c);
}

static void
node_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct conn *c = s->conn;
	int err = 0;
	socklen_t len = sizeof(err);

	if (c->stage != CONN_CONNECT) {
		write_cb(fd, what, arg);
		return;
	}
	leg_write(&s->leg, false);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 || err != 0)
		connect_failed(c);
	else
		connected(c);
}

static void
connect_node(struct conn *c)
{
	const struct pol_tcp *tcp = &c->w->policy->tcp;
	struct side *s = &c->side[S2C];
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&c->node->address, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1) {
		conn_end(c, CLOSE_NO_FILES);
		return;
	}
	leg_tcp(fd, tcp, tcp->node_timeout);
	leg_open(&s->leg, c->w->base, fd, read_cb, node_write_cb, s);
	c->stage = CONN_CONNECT;
	c->connect_by_ms = clock_ms() + tcp->connect_timeout;
	if (connect(fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS) {
		connect_failed(c);
		return;
	}
	leg_write(&s->leg, true);
	arm(c);
}

/* Time. */

static void
timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	enum close_reason why;
	uint64_t now = clock_ms(), when;

	(void)fd;
	(void)what;
	if (!c->started) {
		c->started = true;
		update_reading(c);
	}
	when = deadline(c, &why);
	if (when != 0 && now >= when) {
		/* A client that closed got what there was; a flush that stands still is given up. */
		if (c->end_by_ms != 0)
			conn_kill(c, c->why == CLOSE_CLIENT_EOF ? CLOSE_CLIENT_EOF : why);
		else
			conn_end(c, why);
		return;
	}
	if (c->stage == CONN_CONNECT && now >= c->connect_by_ms) {
		connect_failed(c);
		if (over(c))
			return;
	}
	if (c->calm_until_ms != 0 && now >= c->calm_until_ms) {
		c->calm_until_ms = 0;
		if (c->side[C2S].pump.waiting)
			resume(c);
	}
	arm(c);
}

void
conn_tick(struct conn *c, uint64_t now_ms)
{
	const struct policy *p = c->w->policy;

	/* libevent does not tell of a peer's death while nothing is read: ask the kernel. */
	if (c->started && !c->side[C2S].leg.reading && leg_broken(&c->side[C2S].leg)) {
		conn_end(c, CLOSE_CLIENT_RESET);
		return;
	}
	if (c->stage == CONN_RELAY && !c->side[S2C].leg.reading && leg_broken(&c->side[S2C].leg)) {
		conn_end(c, CLOSE_NODE_RESET);
		return;
	}
	if (c->node != NULL && c->node->health == NODE_HUNG && c->owed_since_ms != 0 &&
	    now_ms - c->owed_since_ms >= p->health.hang)
		conn_end(c, CLOSE_NODE_HUNG);
}

void
conn_new(struct worker *w, int fd, const char *listener, const struct addrport *client,
    unsigned delay_ms)
{
	struct channel_info self = { .conn_id = w->next_id, .client = *client };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL || getsockname(fd, (struct sockaddr *)&ss, &len) == -1 ||
	    addrport_from_sa(&self.local, (struct sockaddr *)&ss) == -1) {
		stats_closed(&w->stats, c == NULL ? CLOSE_NO_MEMORY : CLOSE_CLIENT_RESET);
		limits_leave(w->parts->limits, &client->addr);
		evutil_closesocket(fd);
		free(c);
		return;
	}
	w->next_id += w->parts->nworkers;
	c->w = w;
	c->counted = true;
	c->started = delay_ms == 0;
	c->accepted_ms = clock_ms() + delay_ms;
	mediate_init(&c->mediate, &w->mediate, listener, &self);
	for (int i = 0; i < 2; i++) {
		c->side[i].conn = c;
		c->side[i].dir = (enum dir)i;
		leg_init(&c->side[i].leg);
	}
	leg_tcp(fd, &w->policy->tcp, w->policy->tcp.client_timeout);
	leg_open(&c->side[C2S].leg, w->base, fd, read_cb, write_cb, &c->side[C2S]);
	evtimer_assign(&c->timer, w->base, timer_cb, c);
	TAILQ_INSERT_TAIL(&w->conns, c, entry);
	w->nconns++;
	stats_add(&w->stats, STAT_accepted, 1);
	update_reading(c);
	if (c->started) {
		arm(c);
	} else {
		const struct timeval tv = { delay_ms / 1000, (suseconds_t)(delay_ms % 1000) * 1000 };

		stats_add(&w->stats, STAT_accept_delayed, 1);
		event_add(&c->timer, &tv);
	}
}

const struct node *
conn_node(const struct conn *c)
{
	return c->node;
}

struct conn *
conn_next(const struct conn *c)
{
	return TAILQ_NEXT(c, entry);
}

void
conn_describe(const struct conn *c, struct conn_info *info)
{
	const struct track *t = &c->mediate.track;

	*info = (struct conn_info){
		.id = c->mediate.self.conn_id,
		.stage = c->stage,
		.client = c->mediate.self.client,
		.local = c->mediate.self.local,
		.dialect = t->negotiated ? t->dialect : 0,
		.smb1 = t->smb1,
		.logged_on = c->logged_on,
		.has_guid = c->route.key.b[0] == STATE_KEY_GUID,
		.since_ms = c->accepted_ms,
		.sessions = t->nchannels,
	};
	memcpy(info->client_guid.b, c->route.key.b + 1, sizeof(info->client_guid.b));
	snprintf(info->listener, sizeof(info->listener), "%s", c->mediate.listener);
	snprintf(info->node, sizeof(info->node), "%s", c->node != NULL ? c->node->name : "");
}
