/* world.c: what a made-up conversation begins with: settings, policies, users and their keys */
#include "config.h"

#include "t/fuzz/world.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/seal.h"
#include "base/log.h"
#include "inspect/session.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "stats/close.h"
#include "t/fuzz/packed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE "node \"n1\" { address = \"127.0.0.11:445\" }\n"
#define DENY "addresses { deny = { \"127.0.0.9\", \"192.168.7.7\" } }\n"
#define FILTER NODE DENY "interfaces \"lan\" { mode = filter }\n"
#define ANNOUNCE NODE DENY "interfaces \"lan\" { mode = announce\n" \
	"address \"10.0.0.1\" { }\naddress \"10.0.0.2\" { }\n}\n"

static const char *const policies[] = { FILTER, ANNOUNCE, FILTER "gmac = refuse\n",
	FILTER "gmac = resign\n", ANNOUNCE "unkeyed = refuse\n",
	NODE DENY "interfaces \"lan\" { mode = pass }\n", ANNOUNCE "gmac = refuse\n", FILTER };

static const struct { uint16_t dialect, signing, cipher; } kinds[] = {
	{ SMB2_DIALECT_302, SMB2_SIGNING_AES_CMAC, SMB2_CIPHER_AES128_CCM },
	{ SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES128_GCM },
	{ SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, 0 },
	{ SMB2_DIALECT_311, SMB2_SIGNING_AES_CMAC, SMB2_CIPHER_AES256_GCM },
	{ SMB2_DIALECT_210, SMB2_SIGNING_HMAC_SHA256, 0 },
	{ SMB2_DIALECT_311, SMB2_SIGNING_AES_GMAC, SMB2_CIPHER_AES256_GCM },
	{ SMB2_DIALECT_300, SMB2_SIGNING_AES_CMAC, 0 },
	{ SMB2_DIALECT_311, SMB2_SIGNING_HMAC_SHA256, SMB2_CIPHER_AES128_GCM },
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct terms all_terms[COUNT(kinds)][COUNT(policies)];
static struct crypt *crypt_;

uint8_t
dice_byte(struct dice *d)
{
	if (d->n == 0)
		return 0;
	d->n--;
	return *d->p++;
}

bool
dice_one_in(struct dice *d, unsigned n)
{
	return d->n > 0 && (dice_byte(d) & (n - 1)) == n - 1;
}

struct crypt *
world_crypt(void)
{
	return crypt_;
}

uint32_t
world_hash(const uint8_t *p, size_t n)
{
	uint64_t h = n * 0x9e3779b97f4a7c15ull, v;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0xff51afd7ed558ccdull;
		h ^= h >> 29;
	}
	for (; n > 0; n--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static void
terms_make(struct terms *s, unsigned kind, unsigned policy)
{
	static const struct preauth preauth;
	uint8_t key[32];

	s->dialect = kinds[kind].dialect;
	s->signing = kinds[kind].signing;
	s->cipher = kinds[kind].cipher;
	s->policy = policies[policy];
	s->env = talk_env_new(s->policy);
	for (unsigned i = 0; i < COUNT(s->keys); i++) {
		struct logon_facts f = { .dialect = s->dialect, .cipher = s->cipher,
			.signing = s->signing, .key = key, .key_len = sizeof(key),
			.preauth = &preauth };

		memset(key, 'a' + (int)i, sizeof(key));
		s->keys[i] = smbkeys_derive(&f, KEYS_STANDARD);
		memset(key, 'A' + (int)i, sizeof(key));
		if (s->keys[i] == NULL || signkey_derive(&s->channel[i], &f, KEYS_STANDARD) == -1)
			abort();
	}
}

static const struct terms *
terms(unsigned kind, unsigned policy)
{
	struct terms *s = &all_terms[kind][policy];

	if (crypt_ == NULL) {
		crypt_ = crypt_new();
		(void)log_open(false, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	}
	if (s->env == NULL)
		terms_make(s, kind, policy);
	return s;
}

static void
join(struct world *w, const struct user *u, bool bound)
{
	struct session_info si = { .session_id = u->sid, .dialect = w->set->dialect,
		.keyed = u->known, .guest = u->keys == NULL, .signing_required = u->must_sign,
		.node = w->t.conn.mediate.node };
	struct mediate *m = &w->t.conn.mediate;
	struct channel *c = sesstab_join(w->set->env->sessions, &si, &m->self, bound,
	    u->known ? u->keys : NULL, u->known ? &u->signing : NULL);

	if (c == NULL)
		abort();
	track_channel_add(&m->track, c);
}

/* A connection on which a dialect was agreed on. */
static void
connect_to(struct world *w, uint8_t how)
{
	struct neg2_resp neg = { .capabilities = 0x7f, .dialect = w->set->dialect,
		.signing = w->alg, .cipher = w->set->cipher };
	struct track *t = &w->t.conn.mediate.track;

	w->forbidden = (how & 3) == 3;
	w->compress = neg.compression = w->set->dialect == SMB2_DIALECT_311 && (how & 0x60) == 0x60;
	w->chained = neg.chained = w->compress && (how & 0x80) != 0;
	w->tells = getenv("CONVERSATION") != NULL;
	talk_init(&w->t, w->set->env, "lan", w->forbidden ? "127.0.0.9" : "127.0.0.1");
	t->client_caps = SMB2_GLOBAL_CAP_ENCRYPTION;
	track_negotiate_resp(t, &neg);
	t->logged_on = true;
	t->refuse_sealed = w->set->env->policy->unkeyed == POL_UNKEYED_REFUSE;
	t->refuse_compressed = true;
}

static void
users(struct world *w, uint8_t how, uint8_t bits)
{
	for (unsigned i = ALICE; i < LATER; i++) {
		struct user *u = &w->user[i];

		u->sid = FIRST_SID + i;
		u->known = i <= BOB;
		u->there = i != OPAQUE || !w->t.conn.mediate.track.refuse_sealed;
		u->keys = i == GUEST ? NULL : w->set->keys[i];
		u->signs = u->keys != NULL && (bits >> i & 1) != 0;
		u->seals = u->keys != NULL && w->set->cipher != 0 && (bits >> (4 + i) & 1) != 0;
		u->must_sign = u->signs && (how & 8) != 0;
		if (u->keys != NULL) {
			u->signing = u->keys->signing;
			u->keys->proven = (how & 4) != 0 ? SMBKEYS_SIGN | SMBKEYS_SEAL : 0;
			u->keys->short_cipher_keys = 0;
		}
		if (u->there)
			join(w, u, false);
	}
}

/* Another connection of the same client, with channels of some of the sessions. */
static void
second(struct world *w, struct world *first, uint8_t how, uint8_t bits)
{
	memset(w, 0, sizeof(*w));
	w->dice = first->dice;
	w->set = first->set;
	w->dirty = first->dirty;
	w->other = first;
	first->other = w;
	w->alg = w->set->dialect == SMB2_DIALECT_311 && (how & 4) != 0 ? SMB2_SIGNING_AES_CMAC
	                                                                : w->set->signing;
	connect_to(w, how);
	w->t.conn.mediate.node = &first->t.node;
	w->user[GUEST] = (struct user){ .sid = FIRST_SID + 0x80, .there = true };
	join(w, &w->user[GUEST], false);
	for (unsigned i = ALICE; i <= OPAQUE; i++) {
		struct user *u = &w->user[i];

		if (!first->user[i].there || (bits >> i & 1) == 0)
			continue;
		*u = first->user[i];
		u->signing = w->set->channel[i];
		u->signing.alg = w->alg;
		u->known &= (bits >> (3 + i) & 1) != 0 || w->t.conn.mediate.track.refuse_sealed;
		u->signs = u->must_sign || (how & 8) != 0;
		join(w, u, true);
	}
}

unsigned
world_begin(struct world w[2], struct dice *dice)
{
	uint8_t kind = dice_byte(dice), how = dice_byte(dice), bits = dice_byte(dice),
	    more = dice_byte(dice);

	memset(w, 0, sizeof(*w));
	w->dice = dice;
	w->set = terms(kind & 7, kind >> 3 & 7);
	w->dirty = kind >> 6 == 3;
	w->alg = w->set->signing;
	connect_to(w, how);
	users(w, how, bits);
	if ((how & 0x10) == 0 || w->set->dialect < SMB2_DIALECT_300)
		return 1;
	second(&w[1], w, dice_byte(dice), more);
	return 2;
}

struct signkey
world_session_key(const struct world *w, const struct user *u)
{
	struct signkey k = u->keys->signing;

	k.alg = w->alg;
	return k;
}

static const struct user *
find(const struct world *w, uint64_t sid)
{
	for (unsigned i = 0; i < USERS; i++)
		if (w->user[i].there && w->user[i].sid == sid)
			return &w->user[i];
	return NULL;
}

bool
world_alive(const struct world *w, uint64_t sid)
{
	return find(w, sid) != NULL || (w->other != NULL && find(w->other, sid) != NULL);
}

void
world_facts(struct world *w)
{
	const struct track *t = &w->t.conn.mediate.track;

	mediate_tick(&w->t.conn.mediate, 1);
	for (unsigned i = 0; i < USERS; i++) {
		const struct user *u = &w->user[i];
		const struct channel *c = track_channel(t, u->sid);
		const struct user *now = find(w, u->sid);

		if (u->sid == 0 || u->joining || u->unseen)
			continue;
		if ((c != NULL && !channel_over(c)) != (now != NULL))
			world_wrong(w, now == NULL ? "a session that is over has a channel here"
			    : "a session has no channel here", u->sid);
		if (now == NULL && track_keys(t, u->sid) != NULL)
			world_wrong(w, "a session that is over has its keys", u->sid);
		if (now != NULL && (track_keys(t, u->sid) != NULL) != now->known)
			world_wrong(w, now->known ? "a channel has lost its keys"
			    : "a channel has keys that nobody knows", u->sid);
		if (now != NULL && now->known && memcmp(track_signing(t, u->sid)->key,
		        now->signing.key, sizeof(now->signing.key)) != 0)
			world_wrong(w, "a channel has another's key", u->sid);
		if (sesstab_has(w->set->env->sessions, u->sid, w->t.conn.mediate.node) !=
		    world_alive(w, u->sid))
			world_wrong(w, "the table of sessions is wrong", u->sid);
	}
}

void
world_end(struct world *w)
{
	buf_fini(&w->in[C2S]);
	buf_fini(&w->in[S2C]);
	talk_fini(&w->t);
}

struct user *
world_user(struct world *w, uint64_t sid)
{
	for (unsigned i = 0; i < USERS; i++)
		if (w->user[i].there && w->user[i].sid == sid)
			return &w->user[i];
	return NULL;
}

struct asked *
world_asked(struct world *w, uint64_t mid)
{
	return mid >= FIRST_MID && mid - FIRST_MID < w->nasked ? &w->asked[mid - FIRST_MID] : NULL;
}

int
world_open(void *world_dir, uint64_t sid, uint8_t *frame, size_t len)
{
	static uint8_t plain[1 << 20];
	const struct world_dir *d = world_dir;
	const struct user *u = world_user(d->w, sid);

	if (u == NULL || u->keys == NULL || u->keys->cipher == 0 || len > sizeof(plain) ||
	    seal_open(crypt_, u->keys, d->dir == C2S ? SEAL_C2S : SEAL_S2C, frame, len,
	        plain) == -1)
		return -1;
	memcpy(frame + SMB2_TRANSFORM_LEN, plain, len - SMB2_TRANSFORM_LEN);
	return 0;
}

/* What is compressed is one chain of messages, and nothing besides, [MS-SMB2] 3.3.5.2.1.2. */
int
world_read(struct world *w, enum dir dir, uint8_t *frame, size_t len, struct read_msg *m, int max)
{
	static uint8_t opened[1 << 20], plain[1 << 20];
	struct world_dir d = { w, dir };
	const uint8_t *p = frame;
	uint64_t sealed_by = 0;
	size_t n = len;
	long got;
	int k;

	if (w->compress && len > SMB2_TRANSFORM_LEN && len <= sizeof(opened) &&
	    memcmp(frame, "\xfdSMB", 4) == 0 &&
	    reader_u32(frame + 36) == len - SMB2_TRANSFORM_LEN) {
		memcpy(opened, frame, len);
		sealed_by = reader_u64(opened + 44);
		if (world_open(&d, sealed_by, opened, len) == -1)
			return -1;
		p = opened + SMB2_TRANSFORM_LEN;
		n = len - SMB2_TRANSFORM_LEN;
	}
	if (n < 4 || memcmp(p, "\xfcSMB", 4) != 0)
		return reader_frame(frame, len, world_open, &d, m, max);
	if (!w->compress)
		return -1;
	got = packed_get(w->chained, p, n, plain, sizeof(plain));
	if (got < 4 || plain[0] != 0xfe)
		return -1;
	k = reader_frame(plain, (size_t)got, world_open, &d, m, max);
	for (int i = 0; i < k; i++)
		m[i].sealed_by = sealed_by;
	return k;
}

bool
world_compress(struct world *w, struct wr *o, size_t from)
{
	size_t len = wr_len(o) - from;

	if (!w->compress || !dice_one_in(w->dice, 4) || !wr_ok(o) || o->cap - o->pos < PACKED_MORE)
		return false;
	o->pos = from + packed_put(o->base + from, len, (dice_byte(w->dice) * 8u) % (len + 1),
	    w->chained && dice_one_in(w->dice, 2));
	if (w->tells)
		fprintf(stderr, "  %zu bytes compressed\n", len);
	return true;
}

_Noreturn void
world_wrong(const struct world *w, const char *what, uint64_t mid)
{
	fprintf(stderr, "a difference: %s (MessageId %" PRIu64 ")\n"
	    "dialect %04x, signing %u, cipher %u%s, %s connection, %s address, %s; %s\n"
	    "policy:\n%s",
	    what, mid, w->set->dialect, w->alg, w->set->cipher,
	    w->compress ? w->chained ? ", compression in chains" : ", compression" : "",
	    w->other == NULL ? "the only" : w->other > w ? "the first" : "the second",
	    w->forbidden ? "a forbidden" : "an allowed", w->dirty ? "dirty" : "clean",
	    w->t.closed ? close_text(w->t.why) : "open", w->set->policy);
	abort();
}
