/* page.c: pure: what is seen of smbgate, as one page for people */
#include "config.h"

#include "daemon/page.h"

#include "daemon/facts.h"
#include "daemon/history.h"
#include "daemon/page_text.h"
#include "smb/names.h"
#include "stats/refusals.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/page_css.inc"

/* How a state is to be taken: the colour that stands beside its word. */
static const char *
mood(const char *state)
{
	static const struct {
		const char *state, *mood;
	} moods[] = {
		{ "up", "good" }, { "unknown", "idle" }, { "hung", "bad" }, { "down", "bad" },
		{ "loop", "bad" }, { "drain", "idle" }, { "maint", "idle" }, { "removed", "idle" },
	};

	for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++)
		if (strcmp(moods[i].state, state) == 0)
			return moods[i].mood;
	return "idle";
}

static void
pill(FILE *out, const char *feel, const char *before, const char *text)
{
	fprintf(out, "<span class=\"pill %s\"><i></i>", feel);
	page_text(out, before);
	page_text(out, text);
	fprintf(out, "</span>");
}

struct heads {
	size_t up, bad, listed;
	const struct facts_node *worst;		/* one of the bad */
};

static struct heads
count_heads(const struct facts *f)
{
	struct heads h = { .worst = NULL };

	for (size_t i = 0; i < f->nnodes; i++) {
		h.listed += strcmp(f->nodes[i].state, "removed") != 0;
		h.up += strcmp(f->nodes[i].state, "up") == 0;
		if (strcmp(mood(f->nodes[i].state), "bad") == 0) {
			h.bad++;
			h.worst = &f->nodes[i];
		}
	}
	return h;
}

/* In one line, how it is. */
static void
page_summary(const struct facts *f, char *text, size_t size)
{
	struct heads h = count_heads(f);

	if (f->live_why != NULL || f->ready_why != NULL)
		snprintf(text, size, "%s", f->live_why != NULL ? f->live_why : f->ready_why);
	else if (h.bad == 1)
		snprintf(text, size, "%s is %s", h.worst->name,
		    strcmp(h.worst->state, "loop") == 0 ? "smbgate itself" : h.worst->state);
	else if (h.bad > 0)
		snprintf(text, size, "%zu of %zu nodes are in trouble", h.bad, h.listed);
	else if (h.up == h.listed)
		snprintf(text, size, h.up == 1 ? "the node is up" : "all %zu nodes are up", h.up);
	else
		snprintf(text, size, "%zu of %zu nodes are up", h.up, h.listed);
}

static void
page_pills(const struct facts *f, FILE *out)
{
	struct heads h = count_heads(f);
	bool bad = f->live_why != NULL || f->ready_why != NULL;
	char text[192];

	page_summary(f, text, sizeof(text));
	pill(out, bad ? "bad" : h.bad > 0 ? "warn" : "good", "", text);
	if (!f->reload_ok)
		pill(out, "warn", "", "the last reload failed");
	if (f->map.shared && !f->map.connected)
		pill(out, "warn", "", "Redis is out of reach");
	else if (f->map.degraded)
		pill(out, "warn", "", "a worker does not reach Redis");
	if (f->keyd.wanted && !f->keyd.up)
		pill(out, "warn", "", "smbgate-keyd does not answer");
}

/* An upgrade is not over. */
static void
page_before(const struct facts_before *b, FILE *out)
{
	if (b->pid == 0)
		return;
	fprintf(out, "<p class=\"about\">Process %u, which was here before, still serves ", b->pid);
	page_number(out, b->connections);
	fprintf(out, " connection%s, for ", b->connections == 1 ? "" : "s");
	page_duration(out, b->remaining_s);
	fprintf(out, " at most");
	if (b->why[0] != '\0') {
		fprintf(out, ": ");
		page_text(out, b->why);
	}
	fprintf(out, "</p>\n");
}

static void
page_header(const struct facts *f, const char *nonce, FILE *out)
{
	char text[192];

	page_summary(f, text, sizeof(text));
	fprintf(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	             "<meta name=\"color-scheme\" content=\"light dark\">\n"
	             "<meta http-equiv=\"refresh\" content=\"%d\">\n<title>", PAGE_REFRESH_S);
	page_text(out, text);
	fprintf(out, " · smbgate</title>\n<style nonce=\"%s\">\n%s</style>\n</head>\n<body>\n"
	             "<header>\n<h1>smbgate</h1>\n<p class=\"pills\">", nonce, page_style);
	page_pills(f, out);
	fprintf(out, "</p>\n<p class=\"about\">");
	if (f->host[0] != '\0') {
		fprintf(out, "<b>");
		page_text(out, f->host);
		fprintf(out, "</b> · ");
	}
	fprintf(out, "version ");
	page_text(out, f->version);
	fprintf(out, " · up for ");
	page_duration(out, f->uptime_s);
	fprintf(out, "</p>\n");
	page_before(&f->before, out);
	fprintf(out, "</header>\n<main>\n");
}

/* A tile: its name, its number, and what follows below. */
static void
tile(FILE *out, const char *name)
{
	fprintf(out, "<article class=\"tile\"><h2>%s</h2><p class=\"number\">", name);
}

static void
tile_line(FILE *out, const struct history *h, enum history_line which, const char *what)
{
	uint64_t values[HISTORY_LEN];
	size_t n = history_line(h, which, values);

	page_spark(out, values, n, HISTORY_LEN, what);
	fprintf(out, "</article>\n");
}

/* The newest value of a line. */
static uint64_t
newest(const struct history *h, enum history_line which)
{
	uint64_t values[HISTORY_LEN];
	size_t n = history_line(h, which, values);

	return n == 0 ? 0 : values[n - 1];
}

static uint64_t
in_all(const struct history *h, enum history_line which)
{
	uint64_t values[HISTORY_LEN], sum = 0;
	size_t n = history_line(h, which, values);

	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum;
}

static void
page_rate(FILE *out, const struct history *h, enum history_line which, const char *name,
    uint64_t so_far)
{
	tile(out, name);
	page_bytes(out, newest(h, which));
	fprintf(out, "<small>/s</small></p><p class=\"below\">");
	page_bytes(out, so_far);
	fprintf(out, " since the start</p>");
	tile_line(out, h, which, "bytes a second");
}

/* Sessions by protection: a bar, and its words. */
static void
page_protections(const struct facts *f, FILE *out)
{
	uint64_t n[SESSION_PROTECTIONS] = { 0 }, all = 0, channels = 0, at = 0;

	for (size_t i = 0; i < f->nnodes; i++)
		for (int p = 0; p < SESSION_PROTECTIONS; p++) {
			n[p] += f->nodes[i].sessions[p];
			all += f->nodes[i].sessions[p];
			channels += f->nodes[i].channels[p];
		}
	tile(out, "Sessions");
	page_number(out, all);
	fprintf(out, "</p><p class=\"below\">");
	page_number(out, channels);
	fprintf(out, channels == 1 ? " channel</p>" : " channels</p>");
	fprintf(out, "<svg class=\"bar\" viewBox=\"0 0 1000 6\" preserveAspectRatio=\"none\" "
	             "aria-hidden=\"true\"><rect class=\"track\" width=\"1000\" height=\"6\"/>");
	for (int p = 0; p < SESSION_PROTECTIONS; at += n[p++])
		if (n[p] > 0)
			fprintf(out, "<rect class=\"p%d\" x=\"%" PRIu64 "\" width=\"%" PRIu64
			    "\" height=\"6\"/>", p, at * 1000 / all, n[p] * 1000 / all + 1);
	fprintf(out, "</svg><p class=\"legend\">");
	for (int p = 0; p < SESSION_PROTECTIONS; p++) {
		fprintf(out, "<span class=\"p%d\"><i></i>", p);
		page_number(out, n[p]);
		fprintf(out, " %s</span>", session_protection_str((enum session_protection)p));
	}
	fprintf(out, "</p></article>\n");
}

static void
page_tiles(const struct facts *f, const struct history *h, FILE *out)
{
	fprintf(out, "<section class=\"tiles\">\n");
	tile(out, "Connections");
	page_number(out, f->connections);
	fprintf(out, "</p><p class=\"below\">");
	page_number(out, in_all(h, HISTORY_ACCEPTED));
	fprintf(out, " new in ten minutes</p>");
	tile_line(out, h, HISTORY_CONNECTIONS, "connections");
	page_rate(out, h, HISTORY_TO_CLIENT, "To clients", f->sum.count[STAT_bytes_to_client]);
	page_rate(out, h, HISTORY_TO_NODE, "To nodes", f->sum.count[STAT_bytes_to_node]);
	page_protections(f, out);
	tile(out, "Refused");
	page_number(out, in_all(h, HISTORY_REFUSED));
	fprintf(out, "</p><p class=\"below\">in ten minutes, ");
	page_number(out, refusals_all(&f->sum));
	fprintf(out, " since the start</p>");
	tile_line(out, h, HISTORY_REFUSED, "refusals");
	fprintf(out, "</section>\n");
}

static void
fact(FILE *out, const char *name, uint64_t n)
{
	fprintf(out, "<div><dt>%s</dt><dd>", name);
	page_number(out, n);
	fprintf(out, "</dd></div>");
}

static uint64_t
sum_of(const uint64_t v[SESSION_PROTECTIONS])
{
	return v[SESSION_KEYED] + v[SESSION_UNSIGNED] + v[SESSION_OPAQUE];
}

static void
page_node_notes(const struct facts_node *n, FILE *out)
{
	if (n->unreached)
		fprintf(out, "<p class=\"note\">This machine cannot reach it.</p>");
	if (n->logons_held)
		fprintf(out, "<p class=\"note\">It leaves logons without an answer, or lets "
		             "nobody new in.</p>");
	if (n->held_down)
		fprintf(out, "<p class=\"note\">It comes and goes, and is held down.</p>");
	if (n->agent == NULL || (n->agent_why[0] == '\0' && strcmp(n->agent, "up") == 0))
		return;
	fprintf(out, "<p class=\"note\">Its agent says %s%s", n->agent,
	    n->agent_why[0] != '\0' ? ": " : ".");
	page_text(out, n->agent_why);
	fprintf(out, "</p>");
}

static void
page_node(const struct facts_node *n, const struct history *h, FILE *out)
{
	uint64_t values[HISTORY_LEN];
	size_t have = history_node(h, n->name, values);

	fprintf(out, "<article class=\"node %s\"><h3>", mood(n->state));
	page_text(out, n->name);
	fprintf(out, "</h3>");
	pill(out, mood(n->state), "", n->state);
	fprintf(out, "<p class=\"below\">");
	page_text(out, n->address);
	fprintf(out, " · for ");
	page_duration(out, n->since_s);
	if (n->probes_ok > 0)
		fprintf(out, " · answers in %.1f ms", (double)n->probe_us / 1000);
	fprintf(out, "</p>");
	page_node_notes(n, out);
	page_spark(out, values, have, HISTORY_LEN, "connections");
	fprintf(out, "<dl>");
	fact(out, "clients", n->clients);
	fact(out, "connections", n->connections);
	fact(out, "sessions", sum_of(n->sessions));
	fact(out, "channels", sum_of(n->channels));
	fact(out, "open files", n->files);
	fact(out, "logons", n->logons);
	fact(out, "failed", n->logons_failed);
	fact(out, "weight", n->weight);
	fprintf(out, "</dl></article>\n");
}

static void
page_nodes(const struct facts *f, const struct history *h, FILE *out)
{
	fprintf(out, "<section><h2>Nodes</h2>\n");
	if (f->nnodes == 0)
		fprintf(out, "<p class=\"empty\">The policy has no nodes.</p>\n");
	fprintf(out, "<div class=\"nodes\">\n");
	for (size_t i = 0; i < f->nnodes; i++)
		page_node(&f->nodes[i], h, out);
	fprintf(out, "</div></section>\n");
}

static void
page_refusals(const struct facts *f, FILE *out)
{
	uint64_t most = 1;

	for (size_t i = 0; i < refusals_kinds(); i++)
		if (refusals_count(i, &f->sum) > most)
			most = refusals_count(i, &f->sum);
	fprintf(out, "<section class=\"panel\"><h2>Refusals since the start</h2>\n");
	if (refusals_all(&f->sum) == 0)
		fprintf(out, "<p class=\"empty\">Nobody has been turned away.</p>\n");
	for (size_t i = 0; i < refusals_kinds(); i++) {
		uint64_t n = refusals_count(i, &f->sum);

		if (n == 0)
			continue;
		fprintf(out, "<div class=\"refusal\"><b>%s</b><span>", refusals_code(i));
		page_number(out, n);
		fprintf(out, "</span><svg class=\"bar\" viewBox=\"0 0 1000 6\" "
		    "preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" "
		    "width=\"1000\" height=\"6\"/><rect class=\"much\" width=\"%" PRIu64
		    "\" height=\"6\"/></svg><p>", n * 1000 / most);
		page_text(out, refusals_text(i));
		fprintf(out, "</p></div>\n");
	}
	fprintf(out, "</section>\n");
}

static void
row(FILE *out, const char *name)
{
	fprintf(out, "<div><dt>%s</dt><dd>", name);
}

static void
row_number(FILE *out, const char *name, uint64_t n)
{
	row(out, name);
	page_number(out, n);
	fprintf(out, "</dd></div>\n");
}

static void
page_keys(const struct facts *f, FILE *out)
{
	row(out, "smbgate-keyd");
	if (f->keyd.wanted)
		pill(out, f->keyd.up ? "good" : "warn", "", f->keyd.up ? "up" : "does not answer");
	else
		fprintf(out, "no keytab");
	fprintf(out, "</dd></div>\n");
	if (f->keyd.wanted) {
		row(out, "keytab");
		pill(out, f->keyd.readable ? "good" : "warn", "",
		    f->keyd.readable ? "can be read" : "cannot be read");
		fprintf(out, "</dd></div>\n");
	}
	if (f->keyd.restarts > 0)
		row_number(out, "started again", f->keyd.restarts);
}

static void
page_policy(const struct facts *f, FILE *out)
{
	fprintf(out, "<section class=\"panel\"><h2>Policy and keys</h2>\n<dl class=\"rows\">");
	row(out, "last reload");
	pill(out, f->reload_ok ? "good" : "warn", "",
	    f->reload_ok ? "good" : "failed: the old policy stays");
	fprintf(out, "</dd></div>\n");
	row_number(out, "generation", f->generation);
	row(out, "in force for");
	page_duration(out, f->policy_since_s);
	fprintf(out, "</dd></div>\n");
	page_keys(f, out);
	fprintf(out, "</dl></section>\n");
}

/* The other proxies in this Redis. */
static void
page_peers(const struct facts_map *m, FILE *out)
{
	row(out, "other proxies");
	if (m->npeers == 0)
		fprintf(out, "none");
	else
		page_number(out, m->npeers);
	fprintf(out, "</dd></div>\n");
	for (size_t i = 0; i < m->npeers; i++) {
		const struct peer *p = &m->peers[i];
		bool good = p->same_secret && p->same_nodes;

		fprintf(out, "<div><dt>");
		page_text(out, p->name);
		fprintf(out, "</dt><dd>");
		pill(out, good ? "good" : "warn", "",
		    good ? "the same nodes" : p->same_secret ? "other nodes" : "another secret");
		fprintf(out, "</dd></div>\n");
	}
}

static void
page_map(const struct facts *f, FILE *out)
{
	const struct facts_map *m = &f->map;

	fprintf(out, "<section class=\"panel\"><h2>Map of claims</h2>\n<dl class=\"rows\">");
	row(out, "kept in");
	if (!m->shared) {
		fprintf(out, "memory</dd></div>\n</dl></section>\n");
		return;
	}
	pill(out, m->connected && !m->degraded ? "good" : "warn", "Redis, ",
	    !m->connected ? "out of reach" : m->degraded ? "not reached by all workers"
	                                                 : "connected");
	fprintf(out, "</dd></div>\n");
	row(out, "server");
	page_text(out, m->server);
	fprintf(out, "</dd></div>\n");
	row(out, "answers in");
	fprintf(out, "%.1f ms</dd></div>\n", (double)m->latency_us / 1000);
	row(out, "new clients waited");
	fprintf(out, "%.1f ms</dd></div>\n",
	    m->wait.all == 0 ? 0.0 : (double)m->wait.us / (double)m->wait.all / 1000);
	row_number(out, "claims here", m->claims);
	row_number(out, "exceptions", m->exceptions);
	page_peers(m, out);
	fprintf(out, "</dl>");
	if (m->trouble[0] != '\0') {
		fprintf(out, "<p class=\"note\">");
		page_text(out, m->trouble);
		fprintf(out, "</p>");
	}
	fprintf(out, "</section>\n");
}

static void
page_listeners(const struct facts *f, FILE *out)
{
	fprintf(out, "<section class=\"panel\"><h2>Listeners</h2>\n<dl class=\"rows\">");
	for (size_t i = 0; i < f->nlisteners; i++) {
		fprintf(out, "<div><dt>");
		page_text(out, f->listeners[i].name);
		fprintf(out, "</dt><dd>");
		page_number(out, f->listeners[i].open);
		fprintf(out, " open, ");
		page_number(out, f->listeners[i].accepted);
		fprintf(out, " accepted</dd></div>\n");
	}
	fprintf(out, "</dl></section>\n");
}

/* With http-details alone are there any. */
static void
page_newest(const struct facts *f, FILE *out)
{
	char text[ADDR_STRLEN];

	if (!f->details)
		return;
	fprintf(out, "<section class=\"panel wide\"><h2>Newest sessions</h2>\n");
	if (f->nnewest == 0)
		fprintf(out, "<p class=\"empty\">Nobody is logged on.</p>\n");
	for (size_t i = 0; i < f->nnewest; i++) {
		const struct session_newest *s = &f->newest[i];

		fprintf(out, "<div class=\"session\"><b>");
		page_text(out, s->principal[0] != '\0' ? s->principal : s->guest ? "a guest"
		                                                                 : "not known");
		if (s->principal[0] != '\0' && s->guest)
			fprintf(out, ", as a guest");
		fprintf(out, "</b><span>");
		page_text(out, addrport_str(&s->client, text));
		fprintf(out, "</span><span>");
		page_text(out, f->newest_node[i]);
		fprintf(out, "</span><span>SMB %s, %s</span><span>%u channel%s</span><span>",
		    smb_dialect_name(s->dialect), session_protection_str(s->protection),
		    s->channels, s->channels == 1 ? "" : "s");
		page_duration(out, f->newest_age_s[i]);
		fprintf(out, "</span></div>\n");
	}
	fprintf(out, "</section>\n");
}

static void
page_footer(const struct facts *f, FILE *out)
{
	unsigned s = (unsigned)(f->now % 86400);

	fprintf(out, "</main>\n<footer><p>As of %02u:%02u:%02u UTC, every %d seconds. Lines "
	             "have the last ten minutes.</p><p><a href=\"/status.json\">status.json</a> "
	             "<a href=\"/metrics\">metrics</a></p></footer>\n</body>\n</html>\n",
	    s / 3600, s / 60 % 60, s % 60, PAGE_REFRESH_S);
}

void
page_print(const struct facts *f, const struct history *h, const char *nonce, FILE *out)
{
	page_header(f, nonce, out);
	page_tiles(f, h, out);
	page_nodes(f, h, out);
	page_newest(f, out);
	fprintf(out, "<div class=\"panels\">\n");
	page_refusals(f, out);
	page_listeners(f, out);
	page_map(f, out);
	page_policy(f, out);
	fprintf(out, "</div>\n");
	page_footer(f, out);
}
