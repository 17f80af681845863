/* fuzz-handover.c: libFuzzer target: what another smbgate hands over, beside connections */
/* for: stats/inherit.c nodes/inherit.c state/inherit.c state/orders.c */
#include "config.h"

#include "base/addr.h"
#include "base/tlv.h"
#include "nodes/inherit.h"
#include "nodes/node.h"
#include "nodes/traffic.h"
#include "policy/policy.h"
#include "state/inherit.h"
#include "state/link_conf.h"
#include "state/local.h"
#include "state/orders.h"
#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"
#include "stats/inherit.h"
#include "stats/refused.h"

#include <stdlib.h>
#include <string.h>

#define NOW 5000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
fuzz_clock(void)
{
	return NOW;
}

static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)arg;
	(void)label;
	(void)a;
	(void)an;
	(void)b;
	(void)bn;
	memset(out, 'm', 32);
	return 0;
}

/* What was read from a good record is read again from what is written of it. */
static void
fuzz_stats(const uint8_t *p, size_t n)
{
	struct stats s = { .count = { 0 } }, told = s, again = s;
	struct tlv_out o = { .len = 0 };

	if (stats_read(&s, p, n) == -1)
		return;
	stats_write(&o, &s, &told);
	/* Sums of lies may be more than any counter. */
	if (stats_read(&again, o.data, o.len) == 0) {
		for (size_t i = 0; i < STAT_COUNT; i++)
			if (s.count[i] != again.count[i])
				abort();
		for (size_t i = 0; i < CLOSE_COUNT; i++)
			if (s.closed[i] != again.closed[i])
				abort();
	}
	tlv_out_fini(&o);
}

static void
fuzz_refused(const uint8_t *p, size_t n)
{
	struct refused *r = refused_new(), *again = refused_new();
	struct tlv_out o = { .len = 0 };

	(void)!refused_read(r, p, n, NOW);
	refused_write(&o, r, NOW);
	(void)!refused_read(again, o.data, o.len, NOW);
	tlv_out_fini(&o);
	refused_free(&r);
	refused_free(&again);
}

static void
fuzz_nodes(const uint8_t *p, size_t n)
{
	struct pol_node pn[2] = { { .name = "n1", .weight = 1 }, { .name = "n2", .weight = 1 } };
	struct policy policy = { .nodes = pn, .nnodes = 2 };
	struct nodes *nodes = nodes_new(), *again = nodes_new();
	struct traffic *sum = calloc(1, sizeof(*sum));
	struct tlv_out o = { .len = 0 };

	if (addrport_parse(&pn[0].address, "10.0.0.1:445", 0) == -1 ||
	    addrport_parse(&pn[1].address, "10.0.0.2:445", 0) == -1 || sum == NULL)
		abort();
	nodes_apply(nodes, &policy, NOW);
	nodes_apply(again, &policy, NOW);
	(void)!nodes_read(nodes, p, n, NOW);
	(void)!traffic_read(nodes, p, n);
	nodes_write(&o, nodes, NOW, true);
	(void)!nodes_read(again, o.data, o.len, NOW);
	tlv_out_fini(&o);
	traffic_write(&o, nodes, sum, sum);
	if (traffic_read(again, o.data, o.len) == -1)
		abort();
	tlv_out_fini(&o);
	free(sum);
	nodes_free(&nodes);
	nodes_free(&again);
}

static void
fuzz_claims(const uint8_t *p, size_t n)
{
	struct local_map *m = local_map_new(100, fuzz_clock);
	struct state *s = local_state_new(m);
	struct inherit *i = inherit_new(s);
	struct tlv_out o = { .len = 0 };

	(void)!inherit_read(i, p, n);
	inherit_whole(i, 1000);
	/* Without those that linger, it is less. */
	claims_write(&o, s, false);
	if (inherit_read(i, o.data, o.len) == -1 || inherit_count(i) > n)
		abort();
	tlv_out_fini(&o);
	claims_write(&o, s, true);
	if (inherit_read(i, o.data, o.len) == -1)
		abort();
	tlv_out_fini(&o);
	/* What was not said again is let go. */
	inherit_whole(i, 1000);
	inherit_whole(i, 1000);
	inherit_free(&i, 1000);
	state_free(&s);
	local_map_free(&m);
}

static void
fuzz_shared(const uint8_t *p, size_t n)
{
	static const struct record_seal seal = { .mac = mac };
	static const struct link_conf conf = { .timeout_ms = 50 };
	struct shared *m = shared_new(&conf, &seal, 10);
	struct tlv_out o = { .len = 0 };

	(void)!shared_read(m, p, n);
	shared_write(&o, m);
	(void)!shared_read(m, o.data, o.len);
	tlv_out_fini(&o);
	shared_free(&m);
}

static void
fuzz_homes(const uint8_t *p, size_t n)
{
	struct pol_node pn = { .name = "n1", .weight = 1 };
	struct policy policy = { .nodes = &pn, .nnodes = 1 };
	struct nodes *nodes = nodes_new();
	struct tlv_out o = { .len = 0 };

	if (addrport_parse(&pn.address, "10.0.0.1:445", 0) == -1)
		abort();
	nodes_apply(nodes, &policy, NOW);
	(void)!homes_read(nodes, p, n);
	homes_write(&o, nodes);
	if (homes_read(nodes, o.data, o.len) == -1)
		abort();
	tlv_out_fini(&o);
	nodes_free(&nodes);
}

static void
fuzz_exceptions(const uint8_t *p, size_t n)
{
	static const struct record_seal seal = { .mac = mac };
	static const struct link_conf conf = { .timeout_ms = 50 };
	struct shared *m = shared_new(&conf, &seal, 10), *again = shared_new(&conf, &seal, 10);
	struct tlv_out o = { .len = 0 };

	(void)!shared_read_exceptions(m, p, n);
	shared_write_exceptions(&o, m);
	if (shared_read_exceptions(again, o.data, o.len) == -1 ||
	    shared_exceptions(again) != shared_exceptions(m))
		abort();
	tlv_out_fini(&o);
	shared_free(&m);
	shared_free(&again);
}

/* What Redis is told of them. */
static void
sent(void *arg, const char *node, const struct record *r)
{
	struct order_said said;
	struct orders *again = arg;

	if (orders_take(again, node, strlen(node), r->bytes, r->len, NOW, &said) == -1)
		abort();
}

static void
same(void *arg, const struct order_said *said)
{
	struct order_said x;

	if (!orders_find(arg, said->node, NOW, &x) || strcmp(x.stand, said->stand) != 0 ||
	    x.when_ms != said->when_ms)
		abort();
}

static void
fuzz_orders(const uint8_t *p, size_t n)
{
	static const struct record_seal seal = { .mac = mac };
	struct orders *o = orders_new(&seal), *again = orders_new(&seal);
	struct orders *other = orders_new(&seal);
	struct tlv_out out = { .len = 0 };

	orders_give(o, "n1=10.0.0.1:445", "drain", NOW);
	(void)!orders_read(o, p, n);
	orders_write(o, &out);
	if (orders_read(again, out.data, out.len) == -1)
		abort();
	tlv_out_fini(&out);
	orders_each(o, NOW, same, again);
	orders_given(o, sent, other);
	orders_begin(again);
	orders_missing(again, sent, other);
	orders_each(again, NOW, same, other);
	orders_free(&o);
	orders_free(&again);
	orders_free(&other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const each[])(const uint8_t *p, size_t n) = { fuzz_stats, fuzz_refused,
		fuzz_nodes, fuzz_claims, fuzz_shared, fuzz_homes, fuzz_exceptions, fuzz_orders };

	if (size > 0)
		each[data[0] % (sizeof(each) / sizeof(each[0]))](data + 1, size - 1);
	return 0;
}
