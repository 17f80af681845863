/* report_refusals.c: what an operator is shown of what was refused, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/guid.h"
#include "daemon/json.h"
#include "inspect/who.h"
#include "stats/refusals.h"
#include "stats/refused.h"

#include <stdlib.h>

void
report_refusal(json_t *o, const struct refusal *r, uint64_t now_ms)
{
	char text[GUID_STRLEN];

	jset_age(o, "age_s", r->at_ms, now_ms);
	jset_time(o, "time", r->at_ms, now_ms);
	jset_addrport(o, "client", &r->client);
	jset_addrport(o, "local_address", &r->local);
	jset_text(o, "client_guid", guid_is_zero(&r->guid) ? NULL : guid_str(&r->guid, text));
	jset_name(o, "user", r->user);
	jset_name(o, "node", r->node);
	jset_int(o, "count", r->count);
	jset_text(o, "code", refusals_code(r->kind));
	jset_text(o, "text", refusals_text(r->kind));
}

json_t *
report_refusals(struct refused *refused, const struct who *who, uint64_t now_ms)
{
	struct refusal *all = calloc(REFUSED_MAX, sizeof(*all));
	json_t *root = json_object(), *list = jset_array(root, "refusals");
	uint64_t left_out = 0;
	size_t n = all == NULL || refused == NULL
	    ? 0 : refused_list(refused, now_ms, all, &left_out);

	for (size_t i = 0; i < n; i++)
		if (who == NULL || who_is_client(who, &all[i].client,
		    guid_is_zero(&all[i].guid) ? NULL : &all[i].guid))
			report_refusal(jadd_object(list), &all[i], now_ms);
	jset_int(root, "left_out", left_out);
	free(all);
	return root;
}
