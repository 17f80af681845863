/* base-cpus.c: unit tests of how many CPUs we may use: affinity, both control groups */
#include "config.h"

#include "base/cpus.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/cpus-XXXXXX";

static void
put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(path, sizeof(path), "%s/%.*s", top, (int)(slash - name), name);
		mkdir(path, 0700);
	}
	snprintf(path, sizeof(path), "%s/%s", top, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(top) == NULL)
		return -1;
	put("cpu.max", "max 100000\n");
	put("tight/cpu.max", "150000 100000\n");
	put("tight/free/cpu.max", "max 100000\n");
	put("tight/loose/cpu.max", "800000 100000\n");
	put("part/cpu.max", "1000 100000\n");
	put("bad/cpu.max", "a quota\n");
	put("zero/cpu.max", "5 0\n");
	put("cpu/old/cpu.cfs_quota_us", "300000\n");
	put("cpu/old/cpu.cfs_period_us", "100000\n");
	put("cpu/none/cpu.cfs_quota_us", "-1\n");
	put("cpu/none/cpu.cfs_period_us", "100000\n");
	return 0;
}

static int
teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command);
}

static void
quotas(void **state)
{
	static const struct {
		const char *proc;
		unsigned want;
	} rows[] = {
		{ "0::/\n", 0 },
		{ "0::/tight\n", 2 },
		{ "0::/tight/free\n", 2 },	/* what stands above counts too */
		{ "0::/tight/loose\n", 2 },
		{ "0::/tight/not-there\n", 2 },
		{ "0::/part\n", 1 },
		{ "0::/bad\n", 0 },
		{ "0::/zero\n", 0 },
		{ "0::/tight", 2 },
		{ "5:memory:/x\n4:cpu,cpuacct:/old\n0::/\n", 3 },
		{ "4:cpuacct,cpu:/old\n", 3 },
		{ "4:cpuset:/old\n", 0 },
		{ "4:cpu:/none\n", 0 },
		{ "", 0 },
		{ "nonsense\n\n::\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (cpus_quota(rows[i].proc, top) != rows[i].want)
			print_message("# %s\n", rows[i].proc);
		assert_int_equal(cpus_quota(rows[i].proc, top), rows[i].want);
	}
}

static void
long_names(void **state)
{
	static char proc[20000] = "0::/";

	(void)state;
	memset(proc + 4, 'a', sizeof(proc) - 5);
	assert_int_equal(cpus_quota(proc, top), 0);
}

static void
affinity(void **state)
{
	cpu_set_t was, one;
	int cpu = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(was), &was), 0);
	while (!CPU_ISSET(cpu, &was))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(cpus_allowed(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(was), &was), 0);
	assert_true(cpus_allowed() >= 1);
	assert_true(cpus_allowed() <= (unsigned)CPU_COUNT(&was));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(quotas),
		cmocka_unit_test(long_names),
		cmocka_unit_test(affinity),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
