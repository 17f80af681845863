/* rules.c: what smbgate-keyd answers, whoever asks: which services, how new, how often */
#include "config.h"

#include "keyd/rules.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/rand.h>

/* Of each thing that is refused; all of them together stay below the budget of the event. */
#define LINES_A_SECOND 10

int
rules_init(struct rules *r, const char *services, char why[KEYD_WHY])
{
	*r = (struct rules){ .clock = time };
	while (*services != '\0') {
		size_t n = strcspn(services, ",");

		if (n == 0 || n >= RULES_SERVICE_LEN || r->nservices == RULES_SERVICES_MAX) {
			snprintf(why, KEYD_WHY, "a list of services that cannot be: %s", services);
			return -1;
		}
		memcpy(r->service[r->nservices++], services, n);
		services += n + (services[n] == ',');
	}
	if (RAND_bytes(r->seen.key, sizeof(r->seen.key)) == 1)
		return 0;
	snprintf(why, KEYD_WHY, "OpenSSL has no random numbers");
	return -1;
}

void
rules_fini(struct rules *r)
{
	seen_fini(&r->seen);
}

bool
rules_is_service(const struct rules *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->nservices; i++)
		if (strlen(r->service[i]) == n && strncasecmp(r->service[i], name, n) == 0)
			return true;
	return false;
}

/* May it be said now? */
static bool
may_say(struct rules_said *s, uint64_t second)
{
	if (s->second != second) {
		s->second = second;
		s->lines = 0;
	}
	if (s->lines == LINES_A_SECOND) {
		s->more++;
		return false;
	}
	s->lines++;
	return true;
}

void
rules_count(struct rules *r, enum keyd_count what, const char *text)
{
	struct rules_said *s = &r->said[what];

	r->count[what]++;
	if (text == NULL || !may_say(s, clock_ms() / 1000))
		return;
	if (s->more > 0)
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_KEYD),
		    "smbgate-keyd: %s (and %u more of that)", text, s->more);
	else
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_KEYD), "smbgate-keyd: %s", text);
	s->more = 0;
}

static int
refused(struct rules *r, enum keyd_count what, const struct nokey *why)
{
	rules_count(r, what, why->text);
	return -1;
}

int
rules_service(struct rules *r, const char *target, struct nokey *why)
{
	if (rules_is_service(r, target, strcspn(target, "/@")))
		return 0;
	nokey_say(why, NOKEY_no_key_for_ticket,
	    "it is for %s, which is no service of keytab-services", target);
	return refused(r, KEYD_OTHER_SERVICE, why);
}

int
rules_fresh(struct rules *r, int64_t then, const char *who, struct nokey *why)
{
	int64_t age = (int64_t)r->clock(NULL) - then;

	if (age <= RULES_AGE_S && age >= -RULES_AGE_S)
		return 0;
	nokey_say(why, NOKEY_other,
	    "a logon of %s, %lld hours %s: is this machine's clock right?", who,
	    (long long)(age < 0 ? -age : age) / 3600, age < 0 ? "ahead" : "old");
	return refused(r, KEYD_OLD, why);
}

int
rules_unseen(struct rules *r, uint64_t digest, const char *who, struct nokey *why)
{
	if (!seen_has(&r->seen, digest))
		return 0;
	nokey_say(why, NOKEY_other, "a logon of %s that was asked about before", who);
	return refused(r, KEYD_AGAIN, why);
}

int
rules_once(struct rules *r, uint64_t digest, const char *who, struct nokey *why)
{
	if (rules_unseen(r, digest, who, why) == -1)
		return -1;
	if (seen_add(&r->seen, digest, clock_ms() / 1000) == 0)
		return 0;
	nokey_say(why, NOKEY_other, "out of memory");
	return -1;
}
