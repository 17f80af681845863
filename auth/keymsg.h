/* keymsg.h: the messages between smbgate, its guard and smbgate-keyd */
#ifndef AUTH_KEYMSG_H
#define AUTH_KEYMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Between a worker and smbgate-keyd: one SOCK_SEQPACKET pair a worker, one message a packet.
 *
 *	worker				smbgate-keyd
 *	AP_REQ id token		->
 *				<-	HELLO			once, first of all
 *				<-	KEY id or FAIL id
 *	AP_REP id token		->				only if KEY said mutual
 *				<-	KEY id or FAIL id
 *	NTLM_CHALLENGE id token	->				not answered
 *	NTLM_AUTH id token	->
 *				<-	KEY id or FAIL id
 *	FORGET id		->				not answered
 *
 * An id is the worker's choice, and used for one exchange. After FAIL, a KEY that is not mutual, or
 * the answer to AP_REP or NTLM_AUTH, smbgate-keyd knows the id no more. A KEY that is mutual has no
 * bytes where the client wants the service to prove itself: there is no key without that proof, the
 * AP_REP. Messages of different exchanges come in any order; one that its exchange does not expect
 * ends that exchange. Each AP_REQ, AP_REP and NTLM_AUTH is answered once, whatever becomes of its
 * exchange.
 */
enum keymsg_type {
	KEYMSG_HELLO = 1,
	KEYMSG_AP_REQ,
	KEYMSG_AP_REP,
	KEYMSG_NTLM_CHALLENGE,
	KEYMSG_NTLM_AUTH,
	KEYMSG_FORGET,
	KEYMSG_KEY,
	KEYMSG_FAIL,
	KEYMSG_TYPES,
};

/* Of both programs, which are installed together: a mismatch is an upgrade that was half done. */
#define KEYMSG_VERSION 4

/* A SecurityBuffer has 16 bits of length; several can make up one token, but none is this long. */
#define KEYMSG_TOKEN_MAX 65536
#define KEYMSG_MAX (KEYMSG_TOKEN_MAX + 64)
/* Those of smbgate-keyd are shorter. */
#define KEYMSG_ANSWER_MAX 1024
#define KEYMSG_KEY_MAX 64
#define KEYMSG_TEXT_MAX 255

struct keymsg {
	enum keymsg_type type;
	uint64_t id;			/* HELLO: the version */
	bool mutual;			/* KEY */
	uint8_t cause;			/* FAIL: enum nokey_cause */
	const uint8_t *data;		/* a token; KEY: the key */
	size_t len;
	const char *text;		/* KEY: the principal, FAIL: why; without a NUL */
	size_t text_len;
};

/* The length of the message in dst, or 0 when m is not possible or does not fit. */
size_t keymsg_put(uint8_t *dst, size_t cap, const struct keymsg *m)
    __attribute__((warn_unused_result));

/* Data and text point into p. 0, or -1 for what no version of us would send. */
int keymsg_get(struct keymsg *m, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

/* May a worker send this? All others are smbgate-keyd's. */
bool keymsg_is_request(enum keymsg_type type);
/* For the log. */
const char *keymsg_name(enum keymsg_type type);

/*
 * Between the guard and smbgate-keyd: packets whose first byte is one of these; a text may follow.
 * The guard's socket is the child's descriptor KEYD_GUARD_FD, the workers' follow it.
 */
#define KEYTAB_FILE 'F'		/* to smbgate-keyd: here it is, a descriptor comes with it */
#define KEYTAB_ABSENT 'A'	/* to smbgate-keyd: the text says why there is none */
#define KEYTAB_REFUSED 'R'	/* to smbgate-keyd: the text says why it is not to be believed */
#define KEYTAB_SAME 'E'		/* to smbgate-keyd, when it wanted it: it is what was given last */
#define KEYTAB_WANTED 'W'	/* to the guard: give it again */
#define KEYD_SERVES 'S'		/* to the guard, once: a keytab has been looked at, good or bad */
#define KEYD_UNFIT 'U'		/* to the guard: it cannot work, the text says why */
#define KEYD_PING 'P'		/* to smbgate-keyd: is it alive? */
#define KEYD_PONG 'O'		/* to the guard: it is; KEYD_COUNTS numbers of 8 bytes follow */
#define KEYD_LOST 'L'		/* to the guard: a worker's index (2 bytes): its socket is closed */
#define KEYD_WORKER 'C'		/* to smbgate-keyd: such an index, its new socket comes with it */
#define KEYD_LEVEL 'G'		/* to smbgate-keyd: how much it logs, an enum log_level (1 byte) */
#define KEYD_PACKET_MAX 256	/* none is longer: a longer text is cut */
#define KEYD_GUARD_FD 3

/* What smbgate-keyd has counted since it began, little-endian, in this order. */
enum keyd_count {
	KEYD_ASKED,			/* AP_REQ and NTLM_AUTH messages */
	KEYD_KEYS,			/* keys that were given */
	KEYD_OTHER_SERVICE,		/* refused: for a service that is not configured */
	KEYD_OLD,			/* refused: more than a day old, or ahead */
	KEYD_AGAIN,			/* refused: answered before */
	KEYD_NO_REPLY,			/* given up: their service's AP-REP did not come */
	KEYD_SLOWED,			/* read late, for a worker had asked too much */
	KEYD_COUNTS,
};
#define KEYD_PONG_LEN (1 + 8 * KEYD_COUNTS)

#endif
