/* answer.h: what the parts of smbgate-keyd share: an answer, and a reason */
#ifndef KEYD_ANSWER_H
#define KEYD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/keymsg.h"
#include "auth/nokey.h"

/* What smbgate-keyd itself lacks, for people; of a logon: nokey.h. */
#define KEYD_WHY 160

/* What became of a token; whoever has it wipes it. */
struct keyd_answer {
	bool mutual;
	size_t key_len;
	uint8_t key[KEYMSG_KEY_MAX];
	char principal[KEYMSG_TEXT_MAX + 1];
};

#endif
