/* found.c: a check while it is made, and what it has found */
#include "config.h"

#include "ctl/found.h"

#include <stdarg.h>

static void __attribute__((format(printf, 6, 0)))
add(struct check *c, const char *id, enum check_result result, const char *what, const char *fix,
    const char *fmt, va_list ap)
{
	static const char *const words[] = { [CHECK_OK] = "ok", [CHECK_WARN] = "warn",
		[CHECK_FAIL] = "fail", [CHECK_SKIP] = "skip" };
	json_t *o = json_object();

	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "result", json_string(words[result]));
	json_object_set_new(o, "good", json_boolean(result != CHECK_FAIL));
	json_object_set_new(o, "what", json_string(what));
	json_object_set_new(o, "text", json_vsprintf(fmt, ap));
	json_object_set_new(o, "fix",
	    result == CHECK_OK || fix == NULL ? json_null() : json_string(fix));
	json_array_append_new(c->list, o);
	c->good &= result != CHECK_FAIL;
}

void
check_found(struct check *c, const char *id, enum check_result result, const char *what,
    const char *fix, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c, id, result, what, fix, fmt, ap);
	va_end(ap);
}

void
check_note(struct check *c, bool good, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c, "gateway", good ? CHECK_OK : CHECK_FAIL, what, NULL, fmt, ap);
	va_end(ap);
}
