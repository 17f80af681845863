/* queries.h: what is asked of sessions that live at other proxies */
#ifndef STATE_QUERIES_H
#define STATE_QUERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "state/names.h"
#include "state/state.h"

struct queries;
struct redisReply;
struct wake;

TAILQ_HEAD(queries_list, state_query);

/* Where a thread hears that questions of its own are answered. */
struct queries_port {
	struct wake *wake;
	struct queries_list answered;
};

/* One a process, with a leaf lock. NULL when memory is out. */
struct queries *queries_new(void);
void queries_free(struct queries **all);
/* wake is called when there is something asked; NULL: no longer. */
void queries_keep(struct queries *all, struct wake *wake);

/*
 * A session, and its client. likely: it may well be at another proxy, or be there soon. source:
 * whoever asks for much may not keep other sources from asking.
 */
struct query_about {
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];
	bool likely;
	uint64_t source;
};

/*
 * As state_fact_ask() and state_fact_forget(), on the port's thread. The answer comes after ms,
 * the same for all, at the latest. NULL also where too many ask.
 */
struct state_query *queries_ask(struct queries *all, struct queries_port *p,
    const struct query_about *about, unsigned ms, state_fact_f cb, void *arg);
void queries_unask(struct state_query *q);
/* Calls back whoever has an answer there. */
void queries_answer(struct queries *all, struct queries_port *p);

/*
 * For the keeper: the next question, or NULL; it is his until he answers it, with NULL where there
 * is nothing: what is likely is asked again then, as long as there is time, unless that was the
 * last answer.
 */
struct state_query *queries_asked(struct queries *all, uint8_t id[NAMES_ID_LEN],
    uint8_t sid[NAMES_ID_LEN]);
/* What Redis has of a session; f points into r. False: nothing, or nonsense. */
bool queries_fact(const struct redisReply *r, struct state_fact *f);
void queries_answered(struct state_query *q, const struct state_fact *fact, bool last);
/* Whoever has waited long enough is answered. When to look again; 0: nobody waits. */
uint64_t queries_expire(struct queries *all);

#endif
