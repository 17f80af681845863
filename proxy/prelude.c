/* prelude.c: what comes around SMB from a client: PROXY header, NetBIOS requests, keepalives */
#include "config.h"

#include "proxy/prelude.h"

#include "base/clock.h"
#include "base/log.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/ppheader.h"
#include "proxy/send.h"
#include "smb/const.h"
#include "smb/nbss.h"
#include "smb/netbios.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <string.h>

/*
 *	[PROXY header]  [session request]  SMB1 or SMB2 NEGOTIATE ...
 *	                keepalive ...      keepalive ...
 *
 * The header comes from a listed peer, must come, and first. One session request is taken in front
 * of the first message, as smbd does on port 445 too, and is not missed. All of it has the first
 * frame's time. Once a dialect is agreed on, keepalives go to the node, but for a listener that is
 * there for NetBIOS.
 */

static struct verdict
hold(size_t n)
{
	return (struct verdict){ .act = VERDICT_HOLD, .n = (uint32_t)n, .frame = (uint32_t)n };
}

static struct verdict
header_head(const uint8_t *p, size_t avail)
{
	struct ppheader h = ppheader_get(p, avail);

	switch (h.kind) {
	case PPHEADER_MORE:
		return (struct verdict){ .act = VERDICT_MORE, .n = (uint32_t)h.n };
	case PPHEADER_BAD:
		return (struct verdict){ .act = VERDICT_CLOSE, .why = CLOSE_BAD_PROXY_HEADER };
	default:
		return hold(h.n);
	}
}

/* Is NetBIOS looked for in front of this frame? */
static bool
heeds_netbios(const struct conn *c)
{
	return c->listener->netbios == CONF_NETBIOS_TRUE ||
	    (c->listener->netbios == CONF_NETBIOS_AUTO && c->stage <= CONN_NEGOTIATE);
}

bool
prelude_head(struct conn *c, const uint8_t *p, size_t avail, struct verdict *v)
{
	struct nbss n;

	if (c->stage == CONN_HEADER) {
		*v = header_head(p, avail);
		return true;
	}
	if (!heeds_netbios(c) || nbss_get(&n, p, avail) == -1)
		return false;
	if (n.type == NBSS_KEEPALIVE && n.len == 0) {
		*v = hold(NBSS_HDR_LEN);
		return true;
	}
	if (n.type == NBSS_REQUEST && c->stage <= CONN_SESSION) {
		/* What cannot be one is answered on its header alone. */
		*v = hold(NBSS_HDR_LEN +
		    (n.len < NETBIOS_REQUEST_MIN || n.len > NETBIOS_REQUEST_MAX ? 0 : n.len));
		return true;
	}
	return false;
}

/* From here on the connection is the client's, for every rule, every limit and every log line. */
static struct outcome
take_header(struct conn *c, const uint8_t *p, size_t len)
{
	const struct ppheader h = ppheader_get(p, len);
	struct channel_ends *self = &c->mediate.self;
	const struct addrport peer = self->client;
	char proxy[ADDR_STRLEN];
	enum close_reason why;
	unsigned delay;

	conn_enter(c, CONN_FIRST, 0);
	stats_add(c->env->stats, STAT_proxy_headers, 1);
	/* The proxy itself, which the limits do not know: its health checks, say. */
	if (h.kind != PPHEADER_PROXIED)
		return (struct outcome){ .act = OUTCOME_DROP };
	self->client = h.client;
	self->local = h.local;
	log_conn(LOG_LEVEL_DEBUG, mediate_log(&c->mediate, LOG_EVENT_NONE), "comes by the proxy %s",
	    addrport_str(&peer, proxy));
	if (!limits_enter(c->env->limits, &c->env->policy->limits, &self->client.addr, clock_ms(),
	        &delay, &why))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
	c->standing = STANDING_STRANGER;
	if (delay > 0)
		conn_delay(c, delay);
	return (struct outcome){ .act = OUTCOME_DROP };
}

/*
 * Any name may be called: smbgate does not know by which its cluster goes. A second request is no
 * client's, and smbd ends the connection as well.
 */
static struct outcome
session_request(struct conn *c, const uint8_t *p, size_t len)
{
	uint8_t answer[NETBIOS_ANSWER_MAX];
	struct netbios_request q;
	enum close_reason why = CLOSE_BAD_SESSION_REQUEST;
	enum netbios_error e = netbios_request_get(&q, p + NBSS_HDR_LEN, len - NBSS_HDR_LEN);

	if (c->stage == CONN_SESSION) {
		e = NETBIOS_UNSPECIFIED;
		why = CLOSE_BAD_SEQUENCE;
	}
	len = netbios_answer_put(answer, e);
	if (send_bytes(&c->side[S2C], answer, len) == -1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = c->send_failed };
	if (e != NETBIOS_GRANTED)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
	conn_enter(c, CONN_SESSION, 0);
	c->calling_name = strdup(q.calling.text);
	identity_machine(&c->mediate.identity, c->env->mediate.hash, q.calling.text);
	stats_add(c->env->stats, STAT_netbios_sessions, 1);
	return (struct outcome){ .act = OUTCOME_DROP };
}

bool
prelude_held(struct conn *c, const uint8_t *p, size_t len, struct outcome *o)
{
	if (c->stage == CONN_HEADER) {
		*o = take_header(c, p, len);
		return true;
	}
	switch (p[0]) {
	case NBSS_REQUEST:
		*o = session_request(c, p, len);
		return true;
	case NBSS_KEEPALIVE:
		/* RFC 1002 5.2.2.1: between client and smbgate; the node does not get it. */
		*o = (struct outcome){ .act = OUTCOME_DROP };
		return true;
	default:
		return false;
	}
}
