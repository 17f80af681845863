/* house.c: one worker with a test in the place of clients, nodes, the map and smbgate-keyd */
#include "config.h"

#include "t/unit/lib/house.h"

#include "auth/keyc.h"
#include "auth/keymsg.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/wr.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "proxy/conn.h"
#include "proxy/limits.h"
#include "proxy/stage.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/neg2.h"
#include "state/local.h"
#include "state/state.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#define PATIENCE_S 5

/* The map: every client has its claim where it asks for it. */

struct state_hold {
	TAILQ_ENTRY(state_hold) entry;
	struct house *house;
	state_claim_f cb;	/* NULL: it has been answered */
	void *arg;
	char node[STATE_NODE_LEN];
};

struct state_query {
	TAILQ_ENTRY(state_query) entry;
	struct house *house;
	state_fact_f cb;
	void *arg;
};

struct house_map {
	struct state state;
	struct house *house;
	TAILQ_HEAD(, state_hold) claims;
	TAILQ_HEAD(, state_query) facts;
};

static void
claim_answer(struct state_hold *h)
{
	struct state_claim c = { .others = h->house->others, .fresh = true };
	state_claim_f cb = h->cb;

	snprintf(c.node, sizeof(c.node), "%s", h->node);
	h->cb = NULL;
	cb(h->arg, &c);
}

static void
map_claim(struct state *s, const struct state_key *key, const char *node, const char *home,
    state_claim_f cb, void *arg, struct state_hold **hold_r)
{
	struct house_map *m = (struct house_map *)s;
	struct state_hold *h = calloc(1, sizeof(*h));

	(void)key;
	(void)home;
	assert_non_null(h);
	*h = (struct state_hold){ .house = m->house, .cb = cb, .arg = arg };
	snprintf(h->node, sizeof(h->node), "%s", node);
	TAILQ_INSERT_TAIL(&m->claims, h, entry);
	*hold_r = h;
}

static void
map_move(struct state_hold *h, const char *from, const char *to, state_claim_f cb, void *arg)
{
	(void)from;
	snprintf(h->node, sizeof(h->node), "%s", to);
	h->cb = cb;
	h->arg = arg;
}

static void
map_firm(struct state_hold *h, unsigned linger_ms)
{
	(void)h;
	(void)linger_ms;
}

static void
map_release(struct state_hold *h, unsigned linger_ms)
{
	(void)linger_ms;
	TAILQ_REMOVE(&h->house->map->claims, h, entry);
	free(h);
}

static unsigned
map_clients(struct state *s, const char *node)
{
	(void)s;
	(void)node;
	return 0;
}

static struct state_query *
map_fact_ask(struct state *s, const struct state_hold *h, uint64_t source, uint64_t session_id,
    state_fact_f cb, void *arg)
{
	struct house_map *m = (struct house_map *)s;
	struct state_query *q = calloc(1, sizeof(*q));

	(void)source;
	(void)session_id;
	assert_non_null(h);
	assert_non_null(q);
	*q = (struct state_query){ .house = m->house, .cb = cb, .arg = arg };
	TAILQ_INSERT_TAIL(&m->facts, q, entry);
	return q;
}

static void
map_fact_forget(struct state_query *q)
{
	TAILQ_REMOVE(&q->house->map->facts, q, entry);
	free(q);
}

static void
map_free(struct state *s)
{
	struct house_map *m = (struct house_map *)s;

	assert_true(TAILQ_EMPTY(&m->claims));
	assert_true(TAILQ_EMPTY(&m->facts));
	free(m);
}

static const struct state_ops map_ops = {
	.shared = true,
	.claim = map_claim,
	.move = map_move,
	.firm = map_firm,
	.release = map_release,
	.clients = map_clients,
	.fact_ask = map_fact_ask,
	.fact_forget = map_fact_forget,
	.free = map_free,
};

static void
map_turn(struct house *h)
{
	struct state_hold *c;
	struct state_query *q;

	for (bool found = !h->claims_slow; found;) {
		found = false;
		TAILQ_FOREACH(c, &h->map->claims, entry)
			if (c->cb != NULL) {
				found = true;
				claim_answer(c);
				break;
			}
	}
	while (!h->facts_slow && (q = TAILQ_FIRST(&h->map->facts)) != NULL) {
		TAILQ_REMOVE(&h->map->facts, q, entry);
		q->cb(q->arg, NULL);
		free(q);
	}
}

/* smbgate-keyd: it knows nobody's key. */

static void
keyd_turn(struct house *h)
{
	static uint8_t b[KEYMSG_MAX];
	struct keymsg msg;
	ssize_t n;
	uint64_t id;

	while ((n = recv(h->keyd, b, sizeof(b), MSG_DONTWAIT)) > 0) {
		assert_int_equal(keymsg_get(&msg, b, (size_t)n), 0);
		if (msg.type == KEYMSG_NTLM_AUTH)
			assert_int_equal(buf_add(&h->keys_owed, &msg.id, sizeof(msg.id)), 0);
	}
	while (!h->keyd_slow && buf_len(&h->keys_owed) > 0) {
		memcpy(&id, buf_head(&h->keys_owed), sizeof(id));
		buf_drain(&h->keys_owed, sizeof(id));
		msg = (struct keymsg){ .type = KEYMSG_FAIL, .id = id, .text = "no", .text_len = 2 };
		n = (ssize_t)keymsg_put(b, sizeof(b), &msg);
		assert_int_equal(send(h->keyd, b, (size_t)n, 0), n);
	}
}

static void
keyd_begin(struct house *h)
{
	const struct keymsg hello = { .type = KEYMSG_HELLO, .id = KEYMSG_VERSION };
	uint8_t b[64];
	size_t n = keymsg_put(b, sizeof(b), &hello);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	h->keyd = pair[1];
	keyc_attach(h->w->keyc, pair[0]);
	assert_int_equal(send(h->keyd, b, n, 0), n);
}

/* Sockets. */

static int
tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), small = 32768;

	assert_true(fd >= 0);
	/* So that little need be sent until there is no room. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	return fd;
}

static int
tcp_listen(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = tcp();

	*at = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	return fd;
}

static uint16_t
port_of(int fd, bool peer)
{
	struct sockaddr_in a = { .sin_port = 0 };
	socklen_t len = sizeof(a);

	if (peer)
		(void)getpeername(fd, (struct sockaddr *)&a, &len);
	else
		(void)getsockname(fd, (struct sockaddr *)&a, &len);
	return a.sin_port;
}

/* The node's end of whichever connection it is that smbgate has dialled. */
static void
node_turn(struct house *h)
{
	int fd;

	while ((fd = accept4(h->door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		const uint16_t port = port_of(fd, true);
		struct house_link *mine = NULL;

		for (size_t i = 0; i < h->nlinks; i++) {
			struct house_link *l = h->links[i];

			if (port != 0 && l->node.fd == -1 && house_lives(l) &&
			    port_of(l->conn->side[S2C].leg.edge.fd, false) == port)
				mine = l;
		}
		if (mine != NULL)
			mine->node.fd = fd;
		else
			close(fd);
	}
}

static void
end_turn(struct house_end *e)
{
	static uint8_t b[65536];
	ssize_t n = 1;

	if (e->fd == -1)
		return;
	while (buf_len(&e->out) > 0 &&
	    (n = send(e->fd, buf_head(&e->out), buf_len(&e->out), MSG_NOSIGNAL)) > 0)
		buf_drain(&e->out, (size_t)n);
	if (e->fin && !e->shut && buf_len(&e->out) == 0) {
		e->shut = true;
		shutdown(e->fd, SHUT_WR);
	}
	while (!e->deaf && !e->eof && (n = recv(e->fd, b, sizeof(b), 0)) > 0)
		assert_int_equal(buf_add(&e->got, b, (size_t)n), 0);
	if (!e->deaf && (n == 0 || (n == -1 && errno != EAGAIN)))
		e->eof = true;
}

void
house_say(struct house_end *e, const void *p, size_t n)
{
	assert_int_equal(buf_add(&e->out, p, n), 0);
	assert_int_equal(buf_add(&e->said, p, n), 0);
}

void
house_turn(struct house *h)
{
	for (size_t i = 0; i < h->nlinks; i++) {
		end_turn(&h->links[i]->client);
		end_turn(&h->links[i]->node);
	}
	node_turn(h);
	map_turn(h);
	keyd_turn(h);
	event_base_loop(h->w->base, EVLOOP_NONBLOCK);
}

bool
house_until(struct house *h, bool (*cond)(void *arg), void *arg)
{
	const uint64_t end = clock_ms() + PATIENCE_S * 1000;

	while (!cond(arg)) {
		if (clock_ms() > end)
			return false;
		house_turn(h);
		usleep(100);
	}
	return true;
}

/* The house. */

static struct policy *
policy_of(const char *text, const struct sockaddr_in *node)
{
	char path[] = "/tmp/smbgate-test-XXXXXX";
	struct errlist e = { .n = 0 };
	struct policy *p;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	dprintf(fd, "node \"n1\" { address = \"127.0.0.1:%u\" }\n%s", ntohs(node->sin_port), text);
	close(fd);
	p = schema_load(path, &e);
	unlink(path);
	if (p == NULL)
		fail_msg("%s", e.text[0]);
	errlist_fini(&e);
	return p;
}

struct house *
house_new(const char *policy)
{
	static struct secret secret = { .len = 16 };
	struct house *h = calloc(1, sizeof(*h));
	struct sockaddr_in node;
	struct prefix proxy;

	assert_non_null(h);
	h->door = tcp_listen(&node);
	h->policy = policy_of(policy, &node);
	assert_int_equal(addrport_parse(&h->listener.address, "127.0.0.1:445", 445), 0);
	snprintf(h->listener.name, sizeof(h->listener.name), "lan");
	h->parts = (struct worker_parts){
		.nodes = nodes_new(),
		.sessions = sesstab_new(),
		.claims = local_map_new(1000, clock_ms),
		.limits = limits_new(1000),
		.secret = &secret,
		.workers = h->workers,
		.nworkers = 1,
		.keywatch = &h->keywatch,
	};
	assert_int_equal(prefix_parse(&proxy, "127.0.0.8"), 0);
	assert_int_equal(acl_add(&h->listener.proxies, &proxy, false), 0);
	nodes_apply(h->parts.nodes, h->policy, clock_ms());
	h->w = h->workers[0] = worker_new(0, &h->parts, h->policy, NULL, 0);
	assert_non_null(h->w);
	h->map = calloc(1, sizeof(*h->map));
	assert_non_null(h->map);
	*h->map = (struct house_map){ .state = { &map_ops }, .house = h };
	TAILQ_INIT(&h->map->claims);
	TAILQ_INIT(&h->map->facts);
	state_free(&h->w->env.route.state);
	h->w->env.route.state = h->w->env.mediate.state = &h->map->state;
	keyd_begin(h);
	house_turn(h);
	return h;
}

void
house_free(struct house *h)
{
	while (h->nlinks > 0)
		house_hang_up(h->links[0]);
	worker_free(&h->w);
	close(h->keyd);
	close(h->door);
	buf_fini(&h->keys_owed);
	assert_int_equal(limits_taken(h->parts.limits), 0);
	nodes_free(&h->parts.nodes);
	sesstab_free(&h->parts.sessions);
	local_map_free(&h->parts.claims);
	limits_free(&h->parts.limits);
	policy_unref(&h->policy);
	acl_fini(&h->listener.proxies);
	free(h);
}

/* The header of a client from an address where whoever comes next has to wait. */
static void
say_late(struct house_link *l)
{
	static unsigned number;
	struct house *h = l->house;
	struct pol_limits p = h->policy->limits;
	struct addr from;
	enum close_reason why;
	char text[64], header[128];
	unsigned delay = 0;

	number++;
	snprintf(text, sizeof(text), "10.9.%u.%u", number / 256, number % 256);
	snprintf(header, sizeof(header), "PROXY TCP4 %s 127.0.0.1 1 445\r\n", text);
	assert_int_equal(buf_add(&l->client.out, header, strlen(header)), 0);
	assert_int_equal(addr_parse(&from, text), 0);
	while (delay == 0) {
		assert_true(limits_enter(h->parts.limits, &p, &from, clock_ms(), &delay, &why));
		limits_move(h->parts.limits, &p, &from, STANDING_STRANGER, STANDING_NONE);
	}
}

struct house_link *
house_dial(struct house *h, bool late)
{
	struct house_link *l = calloc(1, sizeof(*l));
	enum close_reason why;
	struct sockaddr_in at;
	struct addrport from;
	struct pol_limits quick = h->policy->limits;
	int door = tcp_listen(&at), fd;
	unsigned delay;

	assert_non_null(l);
	assert_true(h->nlinks < HOUSE_LINKS_MAX);
	quick.accept_rate = 0;
	l->house = h;
	l->node.fd = -1;
	l->client.fd = tcp();
	(void)connect(l->client.fd, (struct sockaddr *)&at, sizeof(at));
	fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(door);
	assert_int_equal(addrport_parse(&from, late ? "127.0.0.8:1" : "127.0.0.9:1", 1), 0);
	assert_true(limits_take(h->parts.limits));
	if (late) {
		say_late(l);
	} else {
		assert_true(limits_enter(h->parts.limits, &quick, &from.addr, clock_ms(), &delay,
		    &why));
	}
	conn_new(&h->w->env, fd, &h->listener, &from, 0);
	l->conn = TAILQ_LAST(&h->w->env.conns, conn_list);
	h->links[h->nlinks++] = l;
	return l;
}

bool
house_lives(const struct house_link *l)
{
	struct conn *c;

	TAILQ_FOREACH(c, &l->house->w->env.conns, entry)
		if (c == l->conn)
			return true;
	return false;
}

static void
end_fini(struct house_end *e)
{
	if (e->fd != -1)
		close(e->fd);
	buf_fini(&e->out);
	buf_fini(&e->said);
	buf_fini(&e->got);
}

void
house_hang_up(struct house_link *l)
{
	struct house *h = l->house;

	if (house_lives(l))
		conn_kill(l->conn, CLOSE_SHUTDOWN);
	end_fini(&l->client);
	end_fini(&l->node);
	for (size_t i = 0; i < h->nlinks; i++)
		if (h->links[i] == l)
			h->links[i] = h->links[--h->nlinks];
	free(l);
	event_base_loop(h->w->base, EVLOOP_NONBLOCK);
}

/* Frames. */

void
house_frame(struct buf *b, const struct hdr2 *h, const void *body, size_t n)
{
	uint8_t head[NBSS_HDR_LEN + SMB2_HDR_LEN];
	struct wr w = wr_init(head + NBSS_HDR_LEN, SMB2_HDR_LEN);

	nbss_put(head, (uint32_t)(SMB2_HDR_LEN + n));
	hdr2_put(&w, h);
	assert_int_equal(buf_add(b, head, sizeof(head)), 0);
	assert_int_equal(buf_add(b, body, n), 0);
}

static void
put_ntlm(struct wr *w, unsigned type)
{
	size_t start = wr_len(w);

	if (type == 0)
		return;
	wr_bytes(w, "NTLMSSP", 8);
	wr_u32(w, type == 4 ? 3 : type);
	/* AUTHENTICATE: a user name and an NT response where the fixed fields end. */
	for (int i = 0; type >= 3 && i < 6; i++) {
		uint16_t n = type == 4 ? 0 : i == 1 ? 32 : i == 3 ? 10 : 0;

		wr_u16(w, n);
		wr_u16(w, n);
		wr_u32(w, i == 1 ? 64 : 96);
	}
	wr_u32(w, 1);
	while (wr_len(w) - start < 112)
		wr_u8(w, 'x');
}

void
house_setup(struct buf *b, uint64_t mid, uint64_t session, uint8_t flags, unsigned ntlm)
{
	const struct hdr2 h = { .command = SMB2_SESSION_SETUP, .message_id = mid,
		.session_id = session, .credits = 1, .credit_charge = 1,
		.flags = flags != 0 ? SMB2_FLAGS_SIGNED : 0 };
	uint8_t body[24 + 112];
	struct wr w = wr_init(body, sizeof(body));

	wr_u16(&w, 25);
	wr_u8(&w, flags);
	wr_u8(&w, 1);
	wr_zero(&w, 8);
	wr_u16(&w, 88);
	wr_u16(&w, ntlm == 0 ? 0 : 112);
	wr_u64(&w, 0);
	put_ntlm(&w, ntlm);
	house_frame(b, &h, body, wr_len(&w));
}

void
house_setup_answer(struct buf *b, uint64_t mid, uint64_t session, uint32_t status, unsigned ntlm)
{
	const struct hdr2 h = { .command = SMB2_SESSION_SETUP, .message_id = mid,
		.session_id = session, .credits = 1, .status = status,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR };
	uint8_t body[8 + 112];
	struct wr w = wr_init(body, sizeof(body));

	wr_u16(&w, 9);
	wr_u16(&w, 0);
	wr_u16(&w, 72);
	wr_u16(&w, ntlm == 0 ? 0 : 112);
	put_ntlm(&w, ntlm);
	house_frame(b, &h, body, wr_len(&w));
}

void
house_negotiate(struct buf *b, uint64_t mid, uint64_t guid)
{
	const struct hdr2 h = { .command = SMB2_NEGOTIATE, .message_id = mid, .credits = 1 };
	uint8_t body[38];
	struct wr w = wr_init(body, sizeof(body));

	wr_u16(&w, 36);
	wr_u16(&w, 1);
	wr_u16(&w, 1);
	wr_zero(&w, 6);
	wr_u64(&w, guid);
	wr_u64(&w, guid);
	wr_zero(&w, 8);
	wr_u16(&w, SMB2_DIALECT_302);
	house_frame(b, &h, body, wr_len(&w));
}

void
house_negotiate_answer(struct buf *b, uint64_t mid, bool multi)
{
	const struct neg2_resp r = { .dialect = multi ? SMB2_DIALECT_2FF : SMB2_DIALECT_302,
		.security_mode = 1, .max_transact = 1 << 20, .max_read = 1 << 20,
		.max_write = 1 << 20, .blob = (const uint8_t *)"",
		.signing = SMB2_SIGNING_AES_CMAC };
	uint8_t out[NBSS_HDR_LEN + SMB2_HDR_LEN + 80];
	struct wr w = wr_init(out, sizeof(out));

	wr_zero(&w, NBSS_HDR_LEN);
	neg2_resp_put(&w, &r);
	assert_true(wr_ok(&w));
	nbss_put(out, (uint32_t)(wr_len(&w) - NBSS_HDR_LEN));
	/* The MessageId. */
	out[NBSS_HDR_LEN + 24] = (uint8_t)mid;
	assert_int_equal(buf_add(b, out, wr_len(&w)), 0);
}

void
house_bulk(struct buf *b, uint64_t mid, bool answer, size_t n)
{
	const struct hdr2 h = { .command = SMB2_WRITE, .message_id = mid, .credits = 1,
		.credit_charge = 1, .flags = answer ? SMB2_FLAGS_SERVER_TO_REDIR : 0 };
	uint8_t *body = malloc(n);

	assert_non_null(body);
	memset(body, (int)(mid % 251), n);
	house_frame(b, &h, body, n);
	free(body);
}
