/* script.h: the Lua scripts of state/lua/, which change claims in Redis, each of them atomic */
#ifndef STATE_SCRIPT_H
#define STATE_SCRIPT_H

/*
 * Keys first, then arguments; see names.h for what they name. t is Redis' time in ms. A state/lua/
 * file each, behind common.lua.
 *
 *	CLAIM	c x e; token gen lease deadline record home-record hurry id exception bad grace
 *		channel				-> { how, t, record, others, firm }
 *		Joins the claim, or makes one of record. With no claim while the epoch is younger
 *		than grace, or hurry is 1: of home-record, if that is not empty, and how is
 *		MADE_BLIND: an owner may be there that has not asserted it again yet. bad: a
 *		record that is to be taken for none. After deadline nothing is done: nobody waits
 *		for it any more.
 *	ASSERT	x e (c)*; token lease channel (gen record linger id exception bad)*
 *						-> { t, { what, record }* }
 *		Asserts again what a process holds. linger "": no logon. A claim of the same node
 *		takes the older age; of another node, where others are live on it, the older claim
 *		wins: what is LOST for the younger.
 *	RELEASE	c x e; token gen linger id channel grace
 *						-> t
 *		Takes an owner out. With the last one and the linger time the claim ends, and so
 *		does its exception, but not while the epoch is younger than grace.
 *	MOVE	c x; token gen lease deadline from to linger id exception channel
 *						-> as CLAIM, how is MOVED if it was
 *	TICK	e d; day			-> { t, epoch, field, value, ... }
 *	SWEEP	x e; cursor prefix grace	-> { cursor, young, id, record, ... }
 *		A part of the exceptions. Those without a claim (prefix and id are its name) are
 *		dropped, but none while the epoch is younger than grace: then young is 1.
 *	FACTS	(s)*; lease (field value)*	-> t
 */
enum script { SCRIPT_CLAIM, SCRIPT_ASSERT, SCRIPT_RELEASE, SCRIPT_MOVE, SCRIPT_TICK, SCRIPT_SWEEP,
	SCRIPT_FACTS, SCRIPT_COUNT };

/* These two on a line each: state/lua/embed.sh reads them. */
enum script_how { HOW_JOINED, HOW_MADE, HOW_MADE_BLIND, HOW_LATE, HOW_MOVED };
enum script_what { WHAT_HELD, WHAT_LOST };

/* The text, for SCRIPT LOAD. */
const char *script_text(enum script s);

#endif
