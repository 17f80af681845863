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
 * An id is used for one exchange and grows from one to the next. After FAIL, a KEY that is not
 * mutual, or the answer to AP_REP or NTLM_AUTH, smbgate-keyd knows the id no more.
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
#define KEYMSG_VERSION 1

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
#define KEYTAB_SAME 'E'		/* to smbgate-keyd, when it wanted it: it is what was given last */
#define KEYTAB_WANTED 'W'	/* to the guard: give it again */
#define KEYD_SERVES 'S'		/* to the guard, once: a keytab has been looked at, good or bad */
#define KEYD_UNFIT 'U'		/* to the guard: it cannot work, the text says why */
#define KEYD_GUARD_FD 3

#endif
