/* rules.h: what smbgate-keyd answers, whoever asks: which services, how new, how often */
#ifndef KEYD_RULES_H
#define KEYD_RULES_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "keyd/answer.h"
#include "keyd/seen.h"

/*
 * A worker talks to strangers, and may be theirs some day. It then has the logons that come from
 * there on, and shall have no more: not tickets for another service, not what was recorded.
 */

#define RULES_SERVICES_MAX 16
#define RULES_SERVICE_LEN 32
/* Clients' and nodes' clocks differ from ours, and we are not here to judge that. */
#define RULES_AGE_S (24 * 3600)

/* Of one thing that is refused: what the log has of it, so that none takes the others' room. */
struct rules_said {
	uint64_t second;
	unsigned lines;			/* in that second */
	unsigned more;			/* that it lacks */
};

struct rules {
	size_t nservices;
	char service[RULES_SERVICES_MAX][RULES_SERVICE_LEN];
	struct seen seen;
	uint64_t count[KEYD_COUNTS];
	struct rules_said said[KEYD_COUNTS];
	time_t (*clock)(time_t *);		/* time(2) */
};

/* The services by their names with commas between them. -1: why says what is wrong. */
int rules_init(struct rules *r, const char *services, char why[KEYD_WHY])
    __attribute__((warn_unused_result));
void rules_fini(struct rules *r);

/* Is it one of the services? ASCII letters are the same in both cases. */
bool rules_is_service(const struct rules *r, const char *name, size_t n);

/*
 * Each: 0, or -1 where there is to be no key: it was counted, and logged now and then, and why says
 * it. who is the one or the other in words, for people.
 */
/* target: "cifs/nas@LAB.EXAMPLE"; the service ends with the first "/" or "@". */
int rules_service(struct rules *r, const char *target, struct nokey *why)
    __attribute__((warn_unused_result));
/* then: seconds since 1970, of whoever made it. */
int rules_fresh(struct rules *r, int64_t then, const char *who, struct nokey *why)
    __attribute__((warn_unused_result));
/* Was it answered before? To be asked early; the second one asks, and remembers. */
int rules_unseen(struct rules *r, uint64_t digest, const char *who, struct nokey *why)
    __attribute__((warn_unused_result));
int rules_once(struct rules *r, uint64_t digest, const char *who, struct nokey *why)
    __attribute__((warn_unused_result));

/* One more; with a text, a line of the log about it, if there were not many. */
void rules_count(struct rules *r, enum keyd_count what, const char *text);

#endif
