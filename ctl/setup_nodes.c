/* setup_nodes.c: is the set-up right? What the nodes are, asked by NEGOTIATEs of our own */
#include "config.h"

#include "ctl/found.h"
#include "ctl/negotiate.h"
#include "ctl/setup_priv.h"
#include "ctl/talk.h"
#include "policy/conf.h"
#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* [MS-SMB2] 2.2.4 */
#define MUST_SIGN 2
#define MULTI_CHANNEL 8
/* Seconds from 1601 to 1970. */
#define FILETIME_EPOCH 11644473600ll
/* What Kerberos bears, and what is a sign of a clock that nobody sets. */
#define SKEW_MAX_S 300
#define SKEW_WARN_S 30

/* The first of them is asked of every node, the others of those that answer. */
static const struct negotiate_offer offers[] = {
	{ 0x0302, 0, 0 }, { 0x0311, 2, 2 }, { 0x0311, 1, 1 }, { 0x0311, 4, 0 }, { 0x0311, 3, 2 },
	{ 0x0300, 0, 0 }, { 0x0210, 0, 0 }, { 0x0202, 0, 0 },
};
#define NOFFERS (sizeof(offers) / sizeof(offers[0]))

/* What is known of a node; sets of numbers are bits. */
struct asked {
	const struct pol_node *node;
	bool answers, must_sign, multichannel;
	bool mute;			/* some of the offers have had no answer in time */
	unsigned dialects;		/* bit of its place in dialects[] */
	unsigned ciphers, signings;
	int64_t skew_s;
};

static const struct {
	uint16_t number;
	const char *name;
} dialects[] = { { 0x0202, "2.0.2" }, { 0x0210, "2.1" }, { 0x0300, "3.0" }, { 0x0302, "3.0.2" },
	{ 0x0311, "3.1.1" } };
static const char *const ciphers[] = { NULL, "AES-128-CCM", "AES-128-GCM", "AES-256-CCM",
	"AES-256-GCM" };
static const char *const signings[] = { "HMAC-SHA256", "AES-CMAC", "AES-GMAC" };

#define NDIALECTS (sizeof(dialects) / sizeof(dialects[0]))

/* "3.0, 3.1.1": the names of those of the bits that are set. */
static const char *
names_of(unsigned set, unsigned bits, const char *(*name)(unsigned bit), char dst[128])
{
	size_t n = 0;

	snprintf(dst, 128, "none");
	for (unsigned i = 0; i < bits && n < 100; i++)
		if ((set & 1u << i) != 0)
			n += (size_t)snprintf(dst + n, 128 - n, "%s%s", n == 0 ? "" : ", ",
			    name(i));
	return dst;
}

static const char *
dialect_name(unsigned i)
{
	return dialects[i].name;
}

static const char *
cipher_name(unsigned i)
{
	return ciphers[i];
}

static const char *
signing_name(unsigned i)
{
	return signings[i];
}

static void
learn(struct asked *a, const struct negotiate_answer *n)
{
	if (n->status != 0)
		return;
	for (unsigned i = 0; i < NDIALECTS; i++)
		if (dialects[i].number == n->dialect)
			a->dialects |= 1u << i;
	a->must_sign |= (n->security_mode & MUST_SIGN) != 0;
	a->multichannel |= n->dialect >= 0x0300 && (n->capabilities & MULTI_CHANNEL) != 0;
	a->skew_s = (int64_t)(n->system_time / 10000000) - FILETIME_EPOCH - (int64_t)time(NULL);
	if (n->dialect != 0x0311)
		return;
	if (n->cipher > 0 && n->cipher <= 4)
		a->ciphers |= 1u << n->cipher;
	if (n->signing <= 2)
		a->signings |= 1u << n->signing;
}

/* Puts the from-th to the last of the offers for one node. */
static struct talk *
put_offers(struct talk *t, const struct pol_node *node, size_t from, size_t to)
{
	uint8_t noise[48] = { 0 };

	_Static_assert(sizeof(t->out) >= NEGOTIATE_MAX, "room for a NEGOTIATE");
	for (size_t i = from; i < to; i++, t++) {
		if (getrandom(noise, sizeof(noise), 0) != sizeof(noise))
			noise[0] = (uint8_t)i;
		t->to = node->address;
		t->nout = negotiate_put(t->out, &offers[i], noise);
	}
	return t;
}

static void
note_negotiated(const struct setup *s, struct asked *a, const struct talk *t)
{
	struct negotiate_answer n;
	char at[ADDR_STRLEN];

	addrport_str(&t->to, at);
	if (t->err == 0 && negotiate_get(&n, t->in + 4, t->have - 4) == 0) {
		a->answers = true;
		learn(a, &n);
		check_found(s->c, "node-answers", CHECK_OK, a->node->name, NULL,
		    "%s answers in %u ms", at, t->ms);
		return;
	}
	check_found(s->c, "node-answers", CHECK_FAIL, a->node->name,
	    "start its SMB server, and let this machine connect",
	    "%s does not answer a NEGOTIATE: %s", at,
	    strerror(t->err == 0 ? EPROTO : t->err));
}

/* Asks all of them at once: first who answers, then those what they know. */
static void
ask_all(const struct setup *s, struct asked *a, size_t n)
{
	struct talk *t = calloc(n * (NOFFERS - 1) + 1, sizeof(*t)), *next = t;
	struct negotiate_answer answer;

	if (t == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		next = put_offers(next, a[i].node, 0, 1);
	talk_all(t, n);
	for (size_t i = 0; i < n; i++)
		note_negotiated(s, &a[i], &t[i]);
	next = t;
	for (size_t i = 0; i < n; i++)
		if (a[i].answers)
			next = put_offers(next, a[i].node, 1, NOFFERS);
	talk_all(t, (size_t)(next - t));
	next = t;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 1; a[i].answers && k < NOFFERS; k++, next++) {
			a[i].mute |= next->err == ETIMEDOUT;
			if (next->err == 0 &&
			    negotiate_get(&answer, next->in + 4, next->have - 4) == 0)
				learn(&a[i], &answer);
		}
	free(t);
}

static void
check_dialects(const struct setup *s, const struct asked *a)
{
	const uint16_t least = s->policy->common.auth.min_dialect;
	enum check_result r = CHECK_FAIL;
	char text[128];

	for (unsigned i = 0; i < NDIALECTS; i++)
		if ((a->dialects & 1u << i) != 0 && dialects[i].number >= least)
			r = CHECK_WARN;
	if (r == CHECK_WARN && (a->dialects & 1u << (NDIALECTS - 1)) != 0)
		r = CHECK_OK;
	check_found(s->c, "node-dialects", r, a->node->name,
	    r == CHECK_FAIL ? "raise its server max protocol, or lower min-dialect"
	                    : "raise its server max protocol: 3.1.1 is the safest",
	    "it speaks %s", names_of(a->dialects, NDIALECTS, dialect_name, text));
}

static void
check_signing(const struct setup *s, const struct asked *a)
{
	const char *how = a->must_sign ? "required" : "possible";
	char text[128];

	if ((a->dialects & 1u << (NDIALECTS - 1)) == 0)
		snprintf(text, sizeof(text), "as its dialects have it");
	else
		names_of(a->signings, 3, signing_name, text);
	if (a->must_sign && s->conf->keytab == NULL)
		check_found(s->c, "node-signing", CHECK_FAIL, a->node->name,
		    "give smbgate the keytab, or let the node not require signing",
		    "signing is required, and without a keytab smbgate cannot change what is "
		    "signed: clients are told the node's own addresses");
	else
		check_found(s->c, "node-signing", CHECK_OK, a->node->name, NULL,
		    "signing is %s: %s", how, text);
}

static void
check_ciphers(const struct setup *s, const struct asked *a)
{
	char text[128];

	if ((a->dialects & 1u << (NDIALECTS - 1)) == 0)
		check_found(s->c, "node-ciphers", CHECK_SKIP, a->node->name, NULL,
		    "without SMB 3.1.1 no cipher is agreed on");
	else if (a->ciphers == 0)
		check_found(s->c, "node-ciphers", CHECK_FAIL, a->node->name,
		    "let it encrypt: what AES-GMAC signs can be changed only by way of a cipher",
		    "it knows no cipher");
	else
		check_found(s->c, "node-ciphers", CHECK_OK, a->node->name, NULL, "it knows %s",
		    names_of(a->ciphers, 5, cipher_name, text));
}

void
setup_clock(const struct setup *s, const char *whose, int64_t ahead_s)
{
	const int64_t off = ahead_s < 0 ? -ahead_s : ahead_s;

	check_found(s->c, "clock-skew",
	    off > SKEW_MAX_S        ? CHECK_FAIL
	        : off > SKEW_WARN_S ? CHECK_WARN
	                            : CHECK_OK,
	    whose, "set both clocks by NTP: Kerberos bears 5 minutes",
	    "its clock is %lld s %s this machine's", (long long)off,
	    ahead_s < 0 ? "behind" : "ahead of");
}

/* Of one cluster: a client that comes back elsewhere must find the same. */
static void
check_agree(const struct setup *s, const struct asked *a, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++) {
		const struct asked *first = NULL;
		const char *what;

		for (size_t k = 0; k < i && first == NULL; k++)
			if (a[k].answers && !a[k].mute &&
			    strcmp(a[k].node->cluster, a[i].node->cluster) == 0)
				first = &a[k];
		if (!a[i].answers || a[i].mute || first == NULL)
			continue;
		what = a[i].dialects != first->dialects      ? "dialects"
		    : a[i].must_sign != first->must_sign     ? "demands on signing"
		    : a[i].signings != first->signings       ? "ways to sign"
		    : a[i].ciphers != first->ciphers         ? "ciphers"
		    : a[i].multichannel != first->multichannel ? "multichannel"
		                                               : NULL;
		if (what == NULL)
			continue;
		bad++;
		check_found(s->c, "nodes-agree", CHECK_FAIL, a[i].node->name,
		    "give the nodes of a cluster the same smb.conf",
		    "it differs from %s in its %s", first->node->name, what);
	}
	if (bad == 0)
		check_found(s->c, "nodes-agree", CHECK_OK, "nodes", NULL,
		    "those of a cluster are alike in what they negotiate");
}

/* What it knows; of one that is busy, nothing is concluded from what it has left unsaid. */
static void
check_node(const struct setup *s, const struct asked *a)
{
	if (a->mute) {
		check_found(s->c, "node-dialects", CHECK_SKIP, a->node->name,
		    "check again when it is less busy",
		    "it answers, but not every offer within %d s: what it knows is not known",
		    TALK_PATIENCE_MS / 1000);
	} else {
		check_dialects(s, a);
		check_signing(s, a);
		check_ciphers(s, a);
		check_found(s->c, "node-multichannel",
		    a->multichannel ? CHECK_OK : CHECK_FAIL, a->node->name,
		    "set server multi channel support = yes in its smb.conf",
		    a->multichannel ? "it offers multichannel" : "it offers no multichannel");
	}
	setup_clock(s, a->node->name, a->skew_s);
}

void
setup_nodes(const struct setup *s)
{
	const size_t n = s->policy->nnodes;
	struct asked *a = calloc(n + 1, sizeof(*a));
	const struct pol_node *answer[POL_NODES_MAX];
	size_t nanswer = 0;

	if (a == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		a[i].node = &s->policy->nodes[i];
	ask_all(s, a, n);
	for (size_t i = 0; i < n; i++) {
		if (!a[i].answers)
			continue;
		check_node(s, &a[i]);
		answer[nanswer++] = a[i].node;
	}
	setup_bypass(s, answer, nanswer);
	check_agree(s, a, n);
	free(a);
}
