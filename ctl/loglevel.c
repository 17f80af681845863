/* loglevel.c: smbgatectl log-level */
#include "config.h"

#include "ctl/loglevel.h"

#include "base/logrecord.h"
#include "ctl/field.h"
#include "ctl/options.h"

void
loglevel_check(const struct options *o, const char *level)
{
	enum log_level l;

	if (level == NULL && option_given(o, OPT_FOR))
		usage_error(o, "--for needs a level: error, warning, info or debug");
	if (level != NULL && log_level_parse(&l, level) == -1)
		usage_error(o, "\"%s\" is no level: it is error, warning, info or debug", level);
}

void
show_log_level(const json_t *answer, bool all, FILE *out)
{
	(void)all;
	if (json_is_integer(json_object_get(answer, "back_in_s")))
		fprintf(out, "log-level %s, for %lld s, then %s\n", text_of(answer, "level"),
		    int_of(answer, "back_in_s"), text_of(answer, "usual_level"));
	else
		fprintf(out, "log-level %s\n", text_of(answer, "level"));
}
