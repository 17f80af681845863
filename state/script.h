/* script.h: the Lua scripts of state/lua/, which change claims in Redis, each of them atomic */
#ifndef STATE_SCRIPT_H
#define STATE_SCRIPT_H

/*
 * Keys first, then arguments; see names.h for what they name. t is Redis' time in ms. A state/lua/
 * file each, behind common.lua.
 *
 *	SYNC	x e p (c)*; token gen hurry channel out (kind id record other exception stay bad
 *		deadline n (sid said)n)*	-> { t, { how, record, others, firm }* }, or { t }
 *		Claims, one after the other. { t}: the lease is over, or gen is not that of the
 *		connection that is in use: nothing was done. hurry 1: as if the data were young.
 *		out: the nodes that take no new clients, each between two line feeds.
 *		exception 1: record names another node than home. bad: a record that is to be taken
 *		for none. Behind deadline nobody waits any more, and nothing is done: LATE. kind:
 *		c	joins the claim, or makes one of record; also in place of one that nobody
 *			holds any more, of a node in out. In young data: of other, if that is not
 *			empty, and how is MADE_BLIND: an owner may be there that has not said it
 *			again yet.
 *		m	moves the claim from record other to record, if nobody else holds it:
 *			MOVED, else JOINED. stay as with s.
 *		s	says what this process holds. stay: how long the claim outlives a proxy
 *			that dies; "": no logon. A claim of the same node takes the older age; of
 *			another node, where others are live on it, they keep it: LOST. In young
 *			data the older of the two claims wins; the other's process finds out when
 *			it says that again in ripe data. n: of sessions that live here, what Redis
 *			is to have of each; SAID_OVER: it is over; SAID_LEFT: this process has no
 *			part in it any more, so it goes if nobody else holds the claim.
 *		r	takes this process out. stay: how long it lingers at least; "": no word on
 *			that. Where there is no claim, one of record lingers; "": none. A claim
 *			that ends takes its exception with it, unless data is young, and so does
 *			one of a node in out that nobody holds any more.
 *	TICK	e d p peers; token gen version tag nodes name said
 *				-> { t, epoch, status, { field, value }*, { token, line }*, ripe }
 *		Renews the lease, under gen from now on. said: the epoch of which all has been said
 *		under gen; then nothing counts that was said under another. LAPSED: there was no
 *		lease, nothing that was said before counts. REFUSED: a proxy of another version is
 *		there.
 *	FINISH	p peers; token			-> t
 *		The lease is over now.
 *	SWEEP	x e p; cursor prefix out	-> { cursor, young, id, record, ... }
 *		A part of the exceptions. Those without a claim (prefix and id are its name), or of
 *		one of a node in out that nobody holds, are dropped, but none while the data is
 *		young: then young is 1.
 *	TRY	t				-> t
 *		Runs every command of the others, on a name and a channel of its own.
 */
enum script { SCRIPT_SYNC, SCRIPT_TICK, SCRIPT_FINISH, SCRIPT_SWEEP, SCRIPT_TRY, SCRIPT_COUNT };

#define SAID_OVER '-'
#define SAID_LEFT '?'

/* These two on a line each: state/lua/embed.sh reads them. */
enum script_how { HOW_JOINED, HOW_MADE, HOW_MADE_BLIND, HOW_LATE, HOW_MOVED, HOW_HELD, HOW_LOST };
enum script_tick { TICK_GOOD, TICK_LAPSED, TICK_REFUSED };

/* The text, for SCRIPT LOAD. */
const char *script_text(enum script s);

#endif
