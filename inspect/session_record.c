/* session_record.c: a channel and its session as a record */
#include "config.h"

#include "auth/keys.h"
#include "base/tlv.h"
#include "inspect/caller.h"
#include "inspect/opens.h"
#include "inspect/query_seen.h"
#include "inspect/record.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	S_ID = 1, S_DIALECT, S_CIPHER, S_SIGNING, S_GUEST, S_ANONYMOUS, S_SEALED,
	S_SIGNING_REQUIRED, S_CLIENT_MULTICHANNEL, S_NODE_MULTICHANNEL, S_KEYED, S_HOW, S_QUERY,
	S_GUID, S_SINCE,
	S_OPAQUE_BECAUSE, S_PRINCIPAL, S_BY_HOW, S_BY_USER, S_BY_MACHINE, S_ASKED, S_KEYS,
	S_MUST_SIGN, S_DOUBTED, S_OPENS, C_BOUND, C_SHOWN, C_SIGNING_ALG, C_SIGNING_KEY, C_KEYED,
	S_CAUSE, S_AGAIN, C_REBOUND,
};

static const struct tlv_field info_fields[] = {
	TLV_UINT(S_ID, session_info, session_id),
	TLV_UINT(S_DIALECT, session_info, dialect),
	TLV_UINT(S_CIPHER, session_info, cipher),
	TLV_UINT(S_SIGNING, session_info, signing),
	TLV_BOOL(S_GUEST, session_info, guest),
	TLV_BOOL(S_ANONYMOUS, session_info, anonymous),
	TLV_BOOL(S_SEALED, session_info, sealed),
	TLV_BOOL(S_SIGNING_REQUIRED, session_info, signing_required),
	TLV_BOOL(S_CLIENT_MULTICHANNEL, session_info, client_multichannel),
	TLV_BOOL(S_NODE_MULTICHANNEL, session_info, node_multichannel),
	TLV_BOOL(S_KEYED, session_info, keyed),
	TLV_UINT(S_HOW, session_info, how),
	TLV_UINT(S_QUERY, session_info, query),
	TLV_UINT(S_CAUSE, session_info, cause),
	TLV_BYTES(S_GUID, session_info, client_guid),
	TLV_UINT(S_SINCE, session_info, since_ms),
};

static const struct tlv_field caller_fields[] = {
	TLV_UINT(S_BY_HOW, caller, how),
	TLV_TEXT(S_BY_USER, caller, user),
	TLV_TEXT(S_BY_MACHINE, caller, machine),
};

enum { Q_AT = 1, Q_COUNT, Q_VIA, Q_TOO_SMALL, Q_TOLD, Q_NODE, Q_REMOVED, Q_ENTRY };

static const struct tlv_field seen_fields[] = {
	TLV_UINT(Q_AT, query_seen, at_ms),
	TLV_UINT(Q_COUNT, query_seen, count),
	TLV_BYTES(Q_VIA, query_seen, via),
	TLV_BOOL(Q_TOO_SMALL, query_seen, too_small),
	TLV_UINT(Q_TOLD, query_seen, ntold),
	TLV_UINT(Q_NODE, query_seen, nnode),
	TLV_UINT(Q_REMOVED, query_seen, nremoved),
};

enum { I_INDEX = 1, I_CAPABILITY, I_SPEED, I_ADDR };

static const struct tlv_field ifinfo_fields[] = {
	TLV_UINT(I_INDEX, ifinfo, ifindex),
	TLV_UINT(I_CAPABILITY, ifinfo, capability),
	TLV_UINT(I_SPEED, ifinfo, link_speed),
	TLV_BYTES(I_ADDR, ifinfo, addr),
};

/* What is read of it, before there is a session. */
struct heard {
	struct session_info info;
	char because[SESSION_TEXT_MAX], principal[SESSION_TEXT_MAX];
	struct caller by;
	struct query_seen *asked;	/* ours until the session has its own */
	struct opens *opens;		/* the same */
	struct smbkeys *keys;		/* the same: a reference */
	struct signkey signing;
	bool must_sign, doubted, again, bound, shown, rebound, keyed;
};

static const struct tlv_field heard_fields[] = {
	TLV_BOOL(S_MUST_SIGN, heard, must_sign),
	TLV_BOOL(S_DOUBTED, heard, doubted),
	TLV_BOOL(S_AGAIN, heard, again),
	TLV_BOOL(C_BOUND, heard, bound),
	TLV_BOOL(C_SHOWN, heard, shown),
	TLV_BOOL(C_REBOUND, heard, rebound),
	TLV_BOOL(C_KEYED, heard, keyed),
	TLV_UINT(C_SIGNING_ALG, heard, signing.alg),
	TLV_BYTES(C_SIGNING_KEY, heard, signing.key),
};

static void
seen_put(const struct query_seen *s, struct tlv_out *o)
{
	const size_t n = (size_t)s->ntold + s->nnode + s->nremoved;

	tlv_put_fields(o, s, seen_fields, COUNT(seen_fields));
	for (size_t i = 0; i < n; i++) {
		size_t at = tlv_begin(o, Q_ENTRY);

		tlv_put_fields(o, &s->list[i], ifinfo_fields, COUNT(ifinfo_fields));
		tlv_end(o, at);
	}
}

static void
keys_put(const struct smbkeys *k, struct tlv_out *o)
{
	uint8_t bytes[SMBKEYS_LEN];

	smbkeys_put(k, bytes);
	tlv_put(o, S_KEYS, bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
}

/* Its shard is locked. */
static void
session_put(const struct session *s, struct tlv_out *o)
{
	const struct session_info *si = &s->info;
	size_t at;

	tlv_put_fields(o, si, info_fields, COUNT(info_fields));
	tlv_put_text(o, S_OPAQUE_BECAUSE, si->opaque_because);
	tlv_put_text(o, S_PRINCIPAL, si->principal);
	if (si->by != NULL)
		tlv_put_fields(o, si->by, caller_fields, COUNT(caller_fields));
	if (si->asked != NULL) {
		at = tlv_begin(o, S_ASKED);
		seen_put(si->asked, o);
		tlv_end(o, at);
	}
	if (s->opens != NULL) {
		at = tlv_begin(o, S_OPENS);
		opens_put(s->opens, o);
		tlv_end(o, at);
	}
	if (s->keys != NULL)
		keys_put(s->keys, o);
}

void
channel_put(struct sesstab *t, const struct channel *c, struct tlv_out *o)
{
	struct shard *sh = session_shard(t, c->session->info.session_id);
	struct heard h = {
		.must_sign = channel_must_sign(c),
		.doubted = channel_doubted(c),
		.again = channel_was_again(c),
		.bound = c->bound,
		.shown = c->shown,
		.rebound = c->rebound,
		.keyed = c->signing != NULL,
	};

	if (c->signing != NULL)
		h.signing = *c->signing;
	tlv_put_fields(o, &h, heard_fields, COUNT(heard_fields));
	explicit_bzero(&h.signing, sizeof(h.signing));
	pthread_mutex_lock(&sh->lock);
	session_put(c->session, o);
	pthread_mutex_unlock(&sh->lock);
}

static struct query_seen *
seen_get(struct tlv_in in)
{
	struct ifinfo list[3 * SESSION_LIST_MAX] = { { 0 } };
	struct query_seen head = { .at_ms = 0 }, *s;
	size_t n = 0;

	while (tlv_next(&in)) {
		if (in.type == Q_ENTRY && n < COUNT(list)) {
			struct tlv_in e = tlv_sub(&in);

			while (tlv_next(&e))
				if (!tlv_get_field(&e, &list[n], ifinfo_fields,
				        COUNT(ifinfo_fields)))
					tlv_unknown(&e);
			in.bad |= e.bad;
			n++;
		} else if (!tlv_get_field(&in, &head, seen_fields, COUNT(seen_fields))) {
			tlv_unknown(&in);
		}
	}
	if (in.bad || head.ntold > SESSION_LIST_MAX || head.nnode > SESSION_LIST_MAX ||
	    head.nremoved > SESSION_LIST_MAX ||
	    n != (size_t)head.ntold + head.nnode + head.nremoved)
		return NULL;
	s = malloc(sizeof(*s) + n * sizeof(s->list[0]));
	if (s != NULL) {
		*s = head;
		memcpy(s->list, list, n * sizeof(s->list[0]));
	}
	return s;
}

/* False: the value is none of those that are more than a number. */
static bool
heard_more(struct heard *h, struct tlv_in *in)
{
	switch (in->type) {
	case S_OPAQUE_BECAUSE:
		tlv_text(in, h->because, sizeof(h->because));
		h->info.opaque_because = h->because;
		break;
	case S_PRINCIPAL:
		tlv_text(in, h->principal, sizeof(h->principal));
		h->info.principal = h->principal;
		break;
	case S_ASKED:
		if (h->asked == NULL)
			h->asked = seen_get(tlv_sub(in));
		in->bad |= h->asked == NULL;
		h->info.asked = h->asked;
		break;
	case S_OPENS:
		in->bad |= h->opens != NULL || opens_get(&h->opens, tlv_sub(in)) == -1;
		break;
	case S_KEYS:
		if (in->n == SMBKEYS_LEN && h->keys == NULL)
			h->keys = smbkeys_get(in->value);
		in->bad |= h->keys == NULL;
		break;
	default:
		return false;
	}
	return true;
}

static int
heard_get(struct heard *h, struct tlv_in in)
{
	while (tlv_next(&in)) {
		if (tlv_get_field(&in, &h->by, caller_fields, COUNT(caller_fields)))
			h->info.by = &h->by;
		else if (!tlv_get_field(&in, &h->info, info_fields, COUNT(info_fields)) &&
		    !tlv_get_field(&in, h, heard_fields, COUNT(heard_fields)) &&
		    !heard_more(h, &in))
			tlv_unknown(&in);
	}
	return in.bad || h->info.query > QUERY_ERROR || h->info.how > CALLER_NOBODY ||
	    h->by.how > CALLER_NOBODY || h->info.cause >= NOKEY_CAUSES ||
	    (h->keyed && h->keys == NULL) ? -1 : 0;
}

/* The shard is locked. NULL: memory is out. */
static struct session *
heard_session(struct shard *sh, struct heard *h, bool *doubt)
{
	struct session *s = session_find(sh, h->info.session_id, h->info.node);

	if (s != NULL) {
		*doubt = !opens_same(s->opens, h->opens);
		session_count(sh, s, -1);
		return s;
	}
	s = session_new(sh, &h->info, h->keys);
	if (s == NULL)
		return NULL;
	s->must_sign = h->must_sign;
	s->doubted = h->doubted;
	s->again = h->again;
	s->opens = h->opens;
	h->opens = NULL;
	return s;
}

static struct channel *
heard_channel(struct sesstab *t, struct heard *h, const struct channel_ends *ends, bool *doubt)
{
	struct shard *sh = session_shard(t, h->info.session_id);
	struct channel *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->ends = ends;
	c->bound = h->bound;
	c->shown = h->shown;
	c->rebound = h->rebound;
	pthread_mutex_lock(&sh->lock);
	c->session = heard_session(sh, h, doubt);
	if (c->session != NULL) {
		if (h->keyed)
			c->keys = smbkeys_ref(c->session->keys != NULL ? c->session->keys
			                                               : h->keys);
		channel_append(c->session, c);
		session_count(sh, c->session, 1);
	}
	pthread_mutex_unlock(&sh->lock);
	if (c->session == NULL) {
		free(c);
		return NULL;
	}
	if (h->keyed && channel_share_keys(c, &h->signing) == -1)
		(void)channel_leave(t, &c);
	return c;
}

struct channel *
channel_get(struct sesstab *t, struct tlv_in in, const struct node *node,
    const struct channel_ends *ends, bool *doubt)
{
	struct heard h = { .info = { .node = node } };
	struct channel *c = NULL;

	*doubt = false;
	if (heard_get(&h, in) == 0)
		c = heard_channel(t, &h, ends, doubt);
	free(h.asked);
	opens_free(&h.opens);
	smbkeys_unref(&h.keys);
	explicit_bzero(&h.signing, sizeof(h.signing));
	return c;
}
