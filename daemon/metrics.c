/* metrics.c: pure: what is seen of smbgate, in Prometheus' text format */
#include "config.h"

#include "daemon/metrics.h"

#include "daemon/facts.h"
#include "stats/refusals.h"

#include <inttypes.h>
#include <string.h>

/* A family of metrics begins: its help, and its type. */
static void
family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The text of a label's value. */
static void
escaped(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '\\':
			fputs("\\\\", out);
			break;
		case '"':
			fputs("\\\"", out);
			break;
		case '\n':
			fputs("\\n", out);
			break;
		default:
			fputc(*text, out);
		}
}

struct label {
	const char *name, *value;
};

/* One line: a name, up to two labels (name NULL: none), and its value. */
static void
sample(FILE *out, const char *name, struct label a, struct label b, uint64_t value)
{
	const struct label labels[] = { a, b };
	const char *before = "{";

	fputs(name, out);
	for (size_t i = 0; i < 2; i++) {
		if (labels[i].name == NULL)
			continue;
		fprintf(out, "%s%s=\"", before, labels[i].name);
		escaped(out, labels[i].value);
		fputc('"', out);
		before = ",";
	}
	fprintf(out, "%s %" PRIu64 "\n", before[0] == ',' ? "}" : "", value);
}

#define NONE ((struct label){ NULL, NULL })
#define LABEL(name, value) ((struct label){ name, value })

static void
single(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	family(out, name, type, help);
	sample(out, name, NONE, NONE, value);
}

static void
whole(FILE *out, const char *name, const char *help, int64_t value)
{
	if (value >= 0)
		single(out, name, "gauge", help, (uint64_t)value);
}

static void
print_process(const struct facts *f, FILE *out)
{
	const struct process_use *p = &f->process;

	family(out, "smbgate_build_info", "gauge", "1, with the version of smbgate.");
	sample(out, "smbgate_build_info", LABEL("version", f->version), NONE, 1);
	family(out, "process_start_time_seconds", "gauge", "When smbgate started.");
	fprintf(out, "process_start_time_seconds %.3f\n", p->start_time);
	family(out, "process_cpu_seconds_total", "counter", "CPU time of all threads of smbgate.");
	fprintf(out, "process_cpu_seconds_total %.6f\n", p->cpu_s);
	whole(out, "process_resident_memory_bytes", "Memory of smbgate that is in RAM.", p->rss);
	whole(out, "process_open_fds", "Descriptors that smbgate has open.", p->open_fds);
	whole(out, "process_max_fds", "Descriptors that smbgate may have open.", p->max_fds);
}

static void
print_states(const struct facts *f, FILE *out)
{
	static const char name[] = "smbgate_node_state";
	static const char *const states[] = {
		"unknown", "up", "down", "hung", "loop", "drain", "maint", "removed",
	};

	family(out, name, "gauge", "1 for the state that the node is in, 0 for the others.");
	for (size_t i = 0; i < f->nnodes; i++)
		for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++)
			sample(out, name, LABEL("node", f->nodes[i].name),
			    LABEL("state", states[k]),
			    strcmp(f->nodes[i].state, states[k]) == 0);
}

static void
print_probes(const struct facts *f, FILE *out)
{
	static const char total[] = "smbgate_node_probes_total";
	static const char took[] = "smbgate_node_probe_duration_seconds";

	family(out, total, "counter",
	    "Probes of the node: answered, without a way to it, or connected and not answered.");
	for (size_t i = 0; i < f->nnodes; i++) {
		const struct facts_node *n = &f->nodes[i];
		struct label node = LABEL("node", n->name);

		sample(out, total, node, LABEL("result", "ok"), n->probes_ok);
		sample(out, total, node, LABEL("result", "no_way"), n->probes_no_way);
		sample(out, total, node, LABEL("result", "silent"), n->probes_silent);
	}
	family(out, took, "gauge", "How long the node's last answer to a probe took.");
	for (size_t i = 0; i < f->nnodes; i++) {
		fprintf(out, "%s{node=\"", took);
		escaped(out, f->nodes[i].name);
		fprintf(out, "\"} %.6f\n", (double)f->nodes[i].probe_us / 1e6);
	}
}

static void
print_nodes(const struct facts *f, FILE *out)
{
	print_states(f, out);
	family(out, "smbgate_node_weight", "gauge", "The node's weight in the policy.");
	for (size_t i = 0; i < f->nnodes; i++)
		sample(out, "smbgate_node_weight", LABEL("node", f->nodes[i].name), NONE,
		    f->nodes[i].weight);
	family(out, "smbgate_node_clients", "gauge",
	    "Clients that have the node, those that may come back to it among them.");
	for (size_t i = 0; i < f->nnodes; i++)
		sample(out, "smbgate_node_clients", LABEL("node", f->nodes[i].name), NONE,
		    f->nodes[i].clients);
	family(out, "smbgate_node_open_files", "gauge",
	    "Files that clients have open at the node, as far as messages can be seen.");
	for (size_t i = 0; i < f->nnodes; i++)
		sample(out, "smbgate_node_open_files", LABEL("node", f->nodes[i].name), NONE,
		    f->nodes[i].files);
	print_probes(f, out);
}

static void
print_connections(const struct facts *f, FILE *out)
{
	static const char now[] = "smbgate_connections";
	static const char all[] = "smbgate_connections_accepted_total";
	static const char ended[] = "smbgate_connections_closed_total";

	family(out, now, "gauge",
	    "Connections of clients; node is empty where they have none yet.");
	for (size_t l = 0; l < f->nlisteners; l++) {
		const struct facts_listener *x = &f->listeners[l];
		struct label listener = LABEL("listener", x->name);

		for (size_t i = 0; i < f->nnodes; i++)
			sample(out, now, listener, LABEL("node", f->nodes[i].name),
			    f->nodes[i].at_listener[l]);
		sample(out, now, listener, LABEL("node", ""),
		    x->open > x->placed ? x->open - x->placed : 0);
	}
	family(out, all, "counter",
	    "Connections accepted; those that a limit refused at once are not among them.");
	for (size_t l = 0; l < f->nlisteners; l++)
		sample(out, all, LABEL("listener", f->listeners[l].name), NONE,
		    f->listeners[l].accepted);
	family(out, ended, "counter",
	    "Connections that have ended, those refused at once among them.");
	for (int i = 0; i < CLOSE_COUNT; i++)
		sample(out, ended, LABEL("reason", close_counter((enum close_reason)i)), NONE,
		    f->sum.closed[i]);
}

/* A row of protections a node. channels: count those, not sessions. */
static void
print_protected(const struct facts *f, FILE *out, const char *name, bool channels)
{
	for (size_t i = 0; i < f->nnodes; i++)
		for (int p = 0; p < SESSION_PROTECTIONS; p++)
			sample(out, name, LABEL("node", f->nodes[i].name),
			    LABEL("protection", session_protection_str((enum session_protection)p)),
			    channels ? f->nodes[i].channels[p] : f->nodes[i].sessions[p]);
}

static void
print_sessions(const struct facts *f, FILE *out)
{
	static const char logons[] = "smbgate_logons_total";

	family(out, "smbgate_sessions", "gauge", "Sessions of SMB2, by how they are protected.");
	print_protected(f, out, "smbgate_sessions", false);
	family(out, "smbgate_channels", "gauge", "The channels of these sessions.");
	print_protected(f, out, "smbgate_channels", true);
	family(out, logons, "counter", "Logons that the node let in, and that it rejected.");
	for (size_t i = 0; i < f->nnodes; i++) {
		struct label node = LABEL("node", f->nodes[i].name);

		sample(out, logons, node, LABEL("result", "ok"), f->nodes[i].logons);
		sample(out, logons, node, LABEL("result", "failed"), f->nodes[i].logons_failed);
	}
}

static void
print_judged(const struct facts *f, FILE *out)
{
	static const char binds[] = "smbgate_binds_refused_total";
	static const char queries[] = "smbgate_interface_queries_total";
	static const char refusals[] = "smbgate_refusals_total";
	static const struct {
		const char *told;
		enum counter counter;
	} told[] = {
		{ "announced", STAT_ifinfo_announced },
		{ "filtered", STAT_ifinfo_filtered },
		{ "passed", STAT_ifinfo_passed },
		{ "opaque", STAT_ifinfo_opaque },
		{ "gmac_passed", STAT_ifinfo_gmac_passed },
		{ "gmac_refused", STAT_ifinfo_gmac_refused },
		{ "too_small", STAT_ifinfo_too_small },
		{ "node_error", STAT_ifinfo_errors },
		{ "malformed", STAT_ifinfo_malformed },
	};

	family(out, binds, "counter", "Binds of further channels that were refused.");
	sample(out, binds, LABEL("code", "bind_denied_address"), NONE,
	    f->sum.count[STAT_binds_refused_address]);
	sample(out, binds, LABEL("code", "bind_other_node"), NONE,
	    f->sum.count[STAT_binds_refused_node]);
	family(out, queries, "counter", "Interface queries, by what the client was told.");
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		sample(out, queries, LABEL("told", told[i].told), NONE,
		    f->sum.count[told[i].counter]);
	family(out, refusals, "counter", "What was refused to clients, by the reason.");
	for (size_t i = 0; i < refusals_kinds(); i++)
		sample(out, refusals, LABEL("code", refusals_code(i)), NONE,
		    refusals_count(i, &f->sum));
}

static void
print_policy(const struct facts *f, FILE *out)
{
	single(out, "smbgate_policy_generation", "gauge",
	    "The policy in force: 1 at the start, plus one a reload.", f->generation);
	single(out, "smbgate_policy_last_reload_successful", "gauge",
	    "1 if policy.conf was good when it was read last.", f->reload_ok);
	single(out, "smbgate_policy_last_reload_timestamp_seconds", "gauge",
	    "When policy.conf was read last, good or not.", (uint64_t)f->reload_time);
}

/* By name: what was counted stays, whatever becomes of the node. */
static void
print_bytes(const struct facts *f, FILE *out)
{
	static const char name[] = "smbgate_bytes_total";
	static const char *const ways[TRAFFIC_WAYS] = {
		[TRAFFIC_TO_NODE] = "to_node",
		[TRAFFIC_TO_CLIENT] = "to_client",
	};

	family(out, name, "counter",
	    "Bytes that went on; node is empty for those of connections without one.");
	for (unsigned way = 0; way < TRAFFIC_WAYS; way++) {
		struct label direction = LABEL("direction", ways[way]);

		for (size_t i = 0; i < f->ntraffic; i++)
			sample(out, name, LABEL("node", f->traffic[i].name), direction,
			    f->traffic[i].bytes[way]);
	}
}

static void
print_waits(const struct facts_wait *w, FILE *out)
{
	static const char name[] = "smbgate_state_wait_seconds";

	family(out, name, "histogram", "How long new connections waited for Redis.");
	for (size_t i = 0; i < SHARED_WAITS; i++) {
		uint64_t us = shared_wait_us(i);

		if (us > 0)
			fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)us / 1e6,
			    w->within[i]);
		else
			fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, w->all);
	}
	fprintf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)w->us / 1e6, name,
	    w->all);
}

/* A peer with another secret counts as that, whatever its nodes. */
static void
print_peers(const struct facts_map *m, FILE *out)
{
	static const char name[] = "smbgate_state_peers";
	uint64_t yes = 0, secret = 0, nodes = 0;

	for (size_t i = 0; i < m->npeers; i++) {
		const struct peer *p = &m->peers[i];

		yes += p->same_secret && p->same_nodes;
		secret += !p->same_secret;
		nodes += p->same_secret && !p->same_nodes;
	}
	family(out, name, "gauge",
	    "Other proxies in this Redis: like this one, with another secret, with other nodes.");
	sample(out, name, LABEL("match", "yes"), NONE, yes);
	sample(out, name, LABEL("match", "secret"), NONE, secret);
	sample(out, name, LABEL("match", "nodes"), NONE, nodes);
}

/* Only where it is shared: a map in memory has nothing to lose touch with. */
static void
print_map(const struct facts *f, FILE *out)
{
	static const char errors[] = "smbgate_state_errors_total";

	if (!f->map.shared)
		return;
	single(out, "smbgate_state_connected", "gauge", "1 while Redis can be reached.",
	    f->map.connected);
	single(out, "smbgate_state_degraded", "gauge",
	    "1 while a worker cannot reach the shared map of claims.", f->map.degraded);
	family(out, errors, "counter", "What went wrong with Redis.");
	for (int i = 0; i < FAULT_COUNT; i++)
		sample(out, errors, LABEL("kind", fault_name((enum fault)i)), NONE,
		    f->map.errors[i]);
	print_waits(&f->map.wait, out);
	print_peers(&f->map, out);
}

static void
print_keyd(const struct facts *f, FILE *out)
{
	if (!f->keyd.wanted)
		return;
	single(out, "smbgate_keyd_up", "gauge", "1 while smbgate-keyd answers.", f->keyd.up);
	single(out, "smbgate_keytab_readable", "gauge",
	    "1 if the keytab could be read when smbgate-keyd was given it last.",
	    f->keyd.readable);
	single(out, "smbgate_keyd_restarts_total", "counter",
	    "Times that smbgate-keyd was started again: it had died, or hung.", f->keyd.restarts);
}

static void
print_log(const struct facts *f, FILE *out)
{
	static const char name[] = "smbgate_log_suppressed_total";

	family(out, name, "counter", "Lines that were left out of the log: there were too many.");
	for (int i = 0; i < LOG_EVENTS; i++)
		if (i != LOG_EVENT_NONE)
			sample(out, name, LABEL("event", log_event_str((enum log_event)i)), NONE,
			    f->suppressed[i]);
}

void
metrics_print(const struct facts *f, FILE *out)
{
	print_process(f, out);
	print_nodes(f, out);
	print_connections(f, out);
	print_bytes(f, out);
	print_sessions(f, out);
	print_judged(f, out);
	print_policy(f, out);
	print_map(f, out);
	print_keyd(f, out);
	print_log(f, out);
}
