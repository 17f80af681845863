/* show_old.c: clients that speak old protocols, as text for people */
#include "config.h"

#include "ctl/show.h"

#include "ctl/field.h"
#include "ctl/table.h"

void
show_old(const json_t *answer, bool all, FILE *out)
{
	static const char *const heads[] = { "ADDRESS", "MACHINE", "USER", "DIALECT",
		"AUTHENTICATION", "DIALLED", "NODE" };
	static const char *const keys[] = { "client_address", "machine", "user", "dialect",
		"authentication", "local_address", "node" };
	struct table t = { .heads = heads, .ncols = sizeof(heads) / sizeof(heads[0]) };
	const json_t *o;
	size_t i;

	(void)all;
	json_array_foreach(json_object_get(answer, "old"), i, o)
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			table_add(&t, "%s", text_of(o, keys[k]));
	table_print(&t, out);
}
