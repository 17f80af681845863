/* explain_cases.c: the clients that somebody means, live or not, each with all that is its own */
#include "config.h"

#include "daemon/explain_cases.h"

#include "base/guid.h"
#include "inspect/session.h"
#include "inspect/who.h"
#include "nodes/last.h"
#include "nodes/route.h"
#include "proxy/conn.h"
#include "stats/refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct state_key
conn_key(const struct conn_info *c)
{
	return c->has_guid ? route_key_guid(&c->client_guid, c->cluster)
	                   : route_key_addr(&c->client.addr, 0);
}

static int
key_cmp(const void *a, const void *b)
{
	const struct case_conn *x = a, *y = b;
	int d = memcmp(x->key.b, y->key.b, sizeof(x->key.b));

	/* The newest one first. */
	return d != 0 ? d : (x->conn->since_ms < y->conn->since_ms) -
	        (x->conn->since_ms > y->conn->since_ms);
}

static int
id_cmp(const void *a, const void *b)
{
	const struct case_conn *x = a, *y = b;

	return (x->conn->id > y->conn->id) - (x->conn->id < y->conn->id);
}

static int
case_cmp(const void *a, const void *b)
{
	const struct explain_case *x = a, *y = b;

	return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

/* Among those that are sorted, or NULL. */
static struct explain_case *
case_of(struct explain_cases *c, const struct state_key *key)
{
	const struct explain_case wanted = { .key = *key };

	return c->nsorted == 0 ? NULL
	                       : bsearch(&wanted, c->all, c->nsorted, sizeof(wanted), case_cmp);
}

static struct explain_case *
add_case(struct explain_cases *c, const struct state_key *key)
{
	if (c->n == c->room) {
		size_t room = 2 * c->room + 16;
		struct explain_case *all = reallocarray(c->all, room, sizeof(*all));

		if (all == NULL) {
			c->incomplete = true;
			return NULL;
		}
		c->all = all;
		c->room = room;
	}
	c->all[c->n] = (struct explain_case){ .key = *key };
	return &c->all[c->n++];
}

static void
sort_cases(struct explain_cases *c)
{
	if (c->n > 0)
		qsort(c->all, c->n, sizeof(c->all[0]), case_cmp);
	c->nsorted = c->n;
}

static bool
means_conn(const struct who *w, const struct conn_info *c)
{
	return who_is_conn(w, c->id) ||
	    who_is_client(w, &c->client, c->has_guid ? &c->client_guid : NULL) ||
	    ((w->kind == WHO_NAME || w->bare) && (strcasecmp(w->text, c->node) == 0 ||
	        strcasecmp(w->text, c->dialled) == 0 ||
	        strcasecmp(w->text, c->netbios_name) == 0 || who_is_like_user(w, c->by.user)));
}

/* Connections, put together as clients. -1: memory is out. */
static int
group_conns(struct explain_cases *c)
{
	const struct explain_search *s = c->search;
	struct explain_case *k = NULL;

	c->by_key = calloc(s->nconns + 1, sizeof(*c->by_key));
	c->by_id = calloc(s->nconns + 1, sizeof(*c->by_id));
	if (c->by_key == NULL || c->by_id == NULL)
		return -1;
	c->nconns = s->nconns;
	for (size_t i = 0; i < s->nconns; i++)
		c->by_key[i] = (struct case_conn){ conn_key(&s->conns[i]), &s->conns[i] };
	memcpy(c->by_id, c->by_key, c->nconns * sizeof(*c->by_id));
	qsort(c->by_key, c->nconns, sizeof(*c->by_key), key_cmp);
	qsort(c->by_id, c->nconns, sizeof(*c->by_id), id_cmp);
	for (size_t i = 0; i < c->nconns; i++) {
		if (k == NULL || memcmp(k->key.b, c->by_key[i].key.b, sizeof(k->key.b)) != 0) {
			k = add_case(c, &c->by_key[i].key);
			if (k == NULL)
				return -1;
			k->conns = &c->by_key[i];
		}
		k->n++;
		k->meant |= means_conn(s->who, c->by_key[i].conn);
	}
	c->nsorted = c->n;
	return 0;
}

/* Sessions. */

static bool
means_kind(const struct who *w, const struct session_info *si)
{
	return w->kind == WHO_NAME && ((si->guest && strcasecmp(w->text, "guest") == 0) ||
	        (si->anonymous && strcasecmp(w->text, "anonymous") == 0));
}

bool
explain_means_session(const struct who *who, const struct session_info *si,
    const struct channel_info *channels, size_t n)
{
	if (who_is_session(who, si->session_id) || who_is_like_user(who, si->principal) ||
	    who_is_like_user(who, session_info_user(si)) || means_kind(who, si))
		return true;
	for (size_t i = 0; i < n; i++)
		if (who_is_conn(who, channels[i].ends.conn_id) ||
		    who_is_client(who, &channels[i].ends.client, &si->client_guid))
			return true;
	return false;
}

/* The client of whichever of its channels is still there, or NULL. */
static struct explain_case *
case_owner(struct explain_cases *c, const struct channel_info *channels, size_t n)
{
	const struct case_conn *found = NULL;

	for (size_t i = 0; i < n && found == NULL && c->nconns > 0; i++) {
		const struct conn_info conn = { .id = channels[i].ends.conn_id };
		const struct case_conn wanted = { .conn = &conn };

		found = bsearch(&wanted, c->by_id, c->nconns, sizeof(wanted), id_cmp);
	}
	return found == NULL ? NULL : case_of(c, &found->key);
}

static void
mark_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct explain_cases *c = arg;
	struct explain_case *k = case_owner(c, channels, n);

	if (k != NULL && explain_means_session(c->search->who, si, channels, n))
		k->meant = true;
}

static void
keep_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct explain_cases *c = arg;
	struct explain_case *k = case_owner(c, channels, n);
	struct case_session *s;

	if (k == NULL || !k->meant)
		return;
	s = calloc(1, sizeof(*s));
	if (s != NULL)
		s->channels = calloc(n, sizeof(*s->channels));
	if (s == NULL || s->channels == NULL) {
		free(s);
		c->incomplete = true;
		return;
	}
	s->info = *si;
	session_info_own(&s->info);
	memcpy(s->channels, channels, n * sizeof(*channels));
	s->n = n;
	s->next = k->sessions;
	k->sessions = s;
}

/* What was refused. */

bool
explain_case_refused(const struct explain_case *k, const struct refusal *r)
{
	if (guid_is_zero(&r->guid)) {
		if (k->key.b[0] == STATE_KEY_ADDR &&
		    memcmp(k->key.b + 1, r->client.addr.b, sizeof(r->client.addr.b)) == 0)
			return true;
	} else if (k->key.b[0] == STATE_KEY_GUID &&
	    memcmp(k->key.b + 1, r->guid.b, sizeof(r->guid.b)) == 0) {
		return true;
	}
	for (const struct case_session *s = k->sessions; r->session_id != 0 && s != NULL;
	     s = s->next)
		if (s->info.session_id == r->session_id)
			return true;
	return false;
}

/* Whoever was refused is explained as well, with a connection or without. */
static void
add_refused(struct explain_cases *c, const struct refusal *r)
{
	const struct guid *g = guid_is_zero(&r->guid) ? NULL : &r->guid;
	const struct state_key key = g != NULL ? route_key_guid(g, 0)
	                                       : route_key_addr(&r->client.addr, 0);
	struct explain_case *k = NULL;

	if (!who_is_client(c->search->who, &r->client, g) &&
	    !who_is_like_user(c->search->who, r->user))
		return;
	/* Which cluster it was in is not known. */
	for (size_t i = 0; i < c->n && k == NULL; i++)
		if (memcmp(c->all[i].key.b, key.b, STATE_KEY_CLIENT) == 0)
			k = &c->all[i];
	if (k == NULL)
		k = add_case(c, &key);
	if (k != NULL)
		k->meant = true;
}

/* From where the client of a claim without connections came last, as far as that is remembered. */
static bool
last_address(struct lasts *lasts, const struct state_key *key, struct addrport *last)
{
	if (key->b[0] != STATE_KEY_ADDR)
		return lasts != NULL && lasts_find(lasts, key, last);
	memcpy(last->addr.b, key->b + 1, sizeof(last->addr.b));
	return true;
}

static bool
means_claim(const struct who *w, const struct state_key *key, const struct addrport *last)
{
	struct guid g;

	memcpy(g.b, key->b + 1, sizeof(g.b));
	return (w->kind == WHO_GUID || last != NULL) &&
	    who_is_client(w, last, key->b[0] == STATE_KEY_GUID ? &g : NULL);
}

static void
take_claim(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct explain_cases *c = arg;
	struct explain_case *k = case_of(c, key);
	struct addrport last = { .port = 0 };
	bool known = false;

	if (k == NULL || k->n == 0)
		known = last_address(c->search->lasts, key, &last);
	if (k == NULL && means_claim(c->search->who, key, known ? &last : NULL)) {
		k = add_case(c, key);
		if (k != NULL)
			k->meant = true;
	}
	if (k == NULL || !k->meant)
		return;
	k->claimed = true;
	k->known = known;
	k->last = last;
	k->left_ms = left_ms;
	snprintf(k->node, sizeof(k->node), "%.*s", (int)strcspn(claim->node, "="), claim->node);
}

int
explain_cases_find(struct explain_cases *c, const struct explain_search *s)
{
	*c = (struct explain_cases){ .search = s };
	if (group_conns(c) == -1)
		return -1;
	/* The ClientGuid of a client whose dialect has none is its session's alone. */
	if (who_has_logged_on(s->who) || s->who->kind == WHO_GUID)
		sesstab_each(s->sessions, mark_session, c);
	for (size_t i = 0; i < s->nrefused; i++)
		add_refused(c, &s->refused[i]);
	sort_cases(c);
	state_each(s->claims, take_claim, c);
	sesstab_each(s->sessions, keep_session, c);
	return c->incomplete ? -1 : 0;
}

void
explain_cases_fini(struct explain_cases *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (struct case_session *s = c->all[i].sessions, *next; s != NULL; s = next) {
			next = s->next;
			session_info_fini(&s->info);
			free(s->channels);
			free(s);
		}
	free(c->all);
	free(c->by_key);
	free(c->by_id);
	*c = (struct explain_cases){ .n = 0 };
}
