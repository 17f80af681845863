/* record.c: an inspected connection as a record, with which another smbgate goes on */
#include "config.h"

#include "inspect/record.h"

#include "base/tlv.h"
#include "inspect/barred.h"
#include "inspect/env.h"
#include "inspect/mech.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"
#include "inspect/sharing.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	M_TRACK = 1,
	M_UNCOUNTED,
	M_OUTSTANDING,
	M_MACHINE,
	M_PRINCIPAL,
	M_HASH,
	M_HASH_BROKEN,
	M_FORGOT,
	M_CHANNEL,
};

static const struct tlv_field mediate_fields[] = {
	TLV_UINT(M_OUTSTANDING, mediate, outstanding),
	TLV_UINT(M_MACHINE, mediate, identity.machine),
	TLV_UINT(M_PRINCIPAL, mediate, identity.principal),
	TLV_BYTES(M_HASH, mediate, logons.hash),
	TLV_BOOL(M_HASH_BROKEN, mediate, logons.broken),
};

enum {
	T_NEGOTIATED = 1, T_LOGGED_ON, T_USER, T_PLACED, T_HAS_GUID, T_UNSEEN, T_REFUSE_SEALED,
	T_COMPRESSION, T_CHAINED, T_REFUSE_COMPRESSED, T_BARE, T_DIALECT, T_CIPHER, T_SIGNING,
	T_CLIENT_MODE, T_SERVER_MODE, T_ASKED, T_CLIENT_CAPS, T_SERVER_CAPS, T_MAX_FRAME, T_GUID,
	T_PENDING, T_SMB1, T_SMB1_OFFERED, T_NEGOTIATING, T_NAMED, T_VC_RESET,
	T_BARRED,
};

static const struct tlv_field track_fields[] = {
	TLV_BOOL(T_SMB1, track, smb1),
	TLV_BOOL(T_SMB1_OFFERED, track, smb1_offered),
	TLV_BOOL(T_NEGOTIATING, track, negotiating),
	TLV_BOOL(T_PLACED, track, placed),
	TLV_BOOL(T_HAS_GUID, track, has_guid),
	TLV_BOOL(T_NEGOTIATED, track, negotiated),
	TLV_BOOL(T_LOGGED_ON, track, logged_on),
	TLV_BOOL(T_USER, track, user),
	TLV_BOOL(T_NAMED, track, named),
	TLV_BOOL(T_VC_RESET, track, vc_reset),
	TLV_BOOL(T_UNSEEN, track, unseen),
	TLV_BOOL(T_REFUSE_SEALED, track, refuse_sealed),
	TLV_BOOL(T_COMPRESSION, track, compression),
	TLV_BOOL(T_CHAINED, track, chained),
	TLV_BOOL(T_REFUSE_COMPRESSED, track, refuse_compressed),
	TLV_BOOL(T_BARE, track, bare),
	TLV_UINT(T_DIALECT, track, dialect),
	TLV_UINT(T_CIPHER, track, cipher),
	TLV_UINT(T_SIGNING, track, signing),
	TLV_UINT(T_CLIENT_MODE, track, client_mode),
	TLV_UINT(T_SERVER_MODE, track, server_mode),
	TLV_UINT(T_ASKED, track, asked),
	TLV_UINT(T_CLIENT_CAPS, track, client_caps),
	TLV_UINT(T_SERVER_CAPS, track, server_caps),
	TLV_UINT(T_MAX_FRAME, track, max_frame),
	TLV_BYTES(T_GUID, track, client_guid),
};

enum {
	P_MESSAGE_ID = 1, P_SESSION_ID, P_PREVIOUS, P_SINCE, P_TREE, P_PROCESS, P_MAX_OUTPUT,
	P_STATUS, P_COMMAND, P_KIND, P_WAY, P_MECH, P_BINDING, P_SIGNING, P_STAND_IN, P_SENT,
	P_SEALED, P_SIGN,
};

static const struct tlv_field pending_fields[] = {
	TLV_UINT(P_MESSAGE_ID, pending, message_id),
	TLV_UINT(P_SESSION_ID, pending, session_id),
	TLV_UINT(P_PREVIOUS, pending, previous_session_id),
	TLV_UINT(P_SINCE, pending, since_s),
	TLV_UINT(P_TREE, pending, tree_id),
	TLV_UINT(P_PROCESS, pending, process_id),
	TLV_UINT(P_MAX_OUTPUT, pending, max_output),
	TLV_UINT(P_STATUS, pending, status),
	TLV_UINT(P_COMMAND, pending, command),
	TLV_UINT(P_KIND, pending, kind),
	TLV_UINT(P_WAY, pending, way),
	TLV_UINT(P_MECH, pending, mech),
	TLV_BOOL(P_BINDING, pending, binding),
	TLV_BOOL(P_SIGNING, pending, signing_required),
	TLV_BOOL(P_STAND_IN, pending, stand_in),
	TLV_UINT(P_SENT, pending, sent),
	TLV_BOOL(P_SEALED, pending, sealed),
	TLV_BOOL(P_SIGN, pending, sign),
};

static bool
is_over(const void *arg, const struct channel *c)
{
	(void)arg;
	return channel_over(c);
}

const char *
mediate_stays(const struct mediate *m)
{
	if (m->track.smb1 || m->track.smb1_offered || m->smb1 != NULL)
		return "SMB1";
	if (m->logons.n > 0)
		return "a logon under way";
	if (sharing_owed(m->sharing))
		return "other proxies are asked";
	if (m->track.parts[C2S] != NULL || m->track.parts[S2C] != NULL)
		return "a frame that passes part by part";
	if (chantab_has(&m->track.channels, is_over, NULL))
		return "a session that has ended";
	return m->traced ? "a trace" : NULL;
}

void
track_put(const struct track *t, struct tlv_out *o)
{
	tlv_put_fields(o, t, track_fields, COUNT(track_fields));
	for (unsigned i = 0; i < barred_count(t->barred); i++)
		tlv_put_uint(o, T_BARRED, barred_at(t->barred, i));
	for (unsigned i = 0; i < t->pending_cap; i++) {
		size_t at;

		if (!t->pending[i].used)
			continue;
		at = tlv_begin(o, T_PENDING);
		tlv_put_fields(o, &t->pending[i], pending_fields, COUNT(pending_fields));
		tlv_end(o, at);
	}
}

static int
pending_get(struct track *t, struct tlv_in in)
{
	struct pending p = { .message_id = 0 };
	enum close_reason why;

	while (tlv_next(&in))
		if (!tlv_get_field(&in, &p, pending_fields, COUNT(pending_fields)))
			tlv_unknown(&in);
	if (in.bad || p.kind > PENDING_NEIGHBOUR || p.way > WAY_UNKEYED || p.mech > MECH_NTLM_USER)
		return -1;
	return track_ask(t, &p, &why);
}

int
track_get(struct track *t, struct tlv_in in)
{
	while (tlv_next(&in)) {
		if (in.type == T_PENDING) {
			if (pending_get(t, tlv_sub(&in)) == -1)
				return -1;
		} else if (in.type == T_BARRED) {
			if (barred_add(&t->barred, tlv_uint(&in, UINT64_MAX)) == -1)
				return -1;
		} else if (!tlv_get_field(&in, t, track_fields, COUNT(track_fields))) {
			tlv_unknown(&in);
		}
	}
	return in.bad ? -1 : 0;
}

struct putting {
	struct sesstab *sessions;
	struct tlv_out *out;
};

static bool
put_channel(const void *arg, const struct channel *c)
{
	const struct putting *p = arg;
	size_t at = tlv_begin(p->out, M_CHANNEL);

	channel_put(p->sessions, c, p->out);
	tlv_end(p->out, at);
	return false;
}

void
mediate_put(const struct mediate *m, struct tlv_out *o)
{
	const struct putting p = { m->env->sessions, o };
	size_t at = tlv_begin(o, M_TRACK);

	track_put(&m->track, o);
	tlv_end(o, at);
	tlv_put_fields(o, m, mediate_fields, COUNT(mediate_fields));
	if (m->uncounted)
		tlv_put_uint(o, M_UNCOUNTED, 1);
	/* Which they were does not go with it. */
	if (m->logons.forgot || m->logons.forgotten != NULL)
		tlv_put_uint(o, M_FORGOT, 1);
	(void)chantab_has(&m->track.channels, put_channel, &p);
}

static int
get_channel(struct mediate *m, struct tlv_in in)
{
	bool doubt = false;
	struct channel *c;

	if (track_channels_full(&m->track))
		return -1;
	c = channel_get(m->env->sessions, in, m->node, &m->self, &doubt);
	if (c == NULL)
		return -1;
	track_channel_add(&m->track, c);
	m->track.unseen |= doubt;
	return 0;
}

int
mediate_get(struct mediate *m, struct tlv_in in)
{
	while (tlv_next(&in)) {
		int r = 0;

		if (in.type == M_TRACK)
			r = track_get(&m->track, tlv_sub(&in));
		else if (in.type == M_CHANNEL)
			r = get_channel(m, tlv_sub(&in));
		else if (in.type == M_UNCOUNTED)
			m->uncounted = tlv_uint(&in, 1) != 0;
		else if (in.type == M_FORGOT)
			m->logons.forgot = tlv_uint(&in, 1) != 0;
		else if (!tlv_get_field(&in, m, mediate_fields, COUNT(mediate_fields)))
			tlv_unknown(&in);
		if (r == -1)
			return -1;
	}
	/* It is never 0, which is not written. */
	return in.bad || m->track.max_frame == 0 ? -1 : 0;
}

static bool
tell_channel(const void *arg, const struct channel *c)
{
	const struct mediate *m = arg;
	const struct session_info *si = &c->session->info;

	/* As after a logon: one that lacks the keys says nothing, for others may have them. */
	if (session_may_be_bound(si) && (!c->bound || c->keys != NULL))
		sharing_put(m, si->session_id, c->keys);
	return false;
}

void
mediate_arrived(const struct mediate *m)
{
	(void)chantab_has(&m->track.channels, tell_channel, m);
}

void
mediate_departed(struct mediate *m)
{
	struct channel *c;

	logons_fini(&m->logons);
	sharing_free(&m->sharing);
	while ((c = track_channel_any(&m->track)) != NULL)
		(void)channel_leave(m->env->sessions, &c);
	track_fini(&m->track);
	MAGIC_CLEAR(m);
}
