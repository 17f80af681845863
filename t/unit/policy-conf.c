/* policy-conf.c: unit tests of smbgate.conf: every option, paths, every error */
#include "config.h"

#include "base/keyfile.h"
#include "policy/conf.h"
#include "t/unit/lib/memory.h"
#include "t/unit/lib/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[PATH_MAX], path[PATH_MAX];

static struct conf *
load(const char *text, struct errlist *e)
{
	file_write(path, text, strlen(text));
	*e = (struct errlist){ .n = 0 };
	return conf_load(path, e);
}

static struct conf *
load_good(const char *text)
{
	struct errlist e;
	struct conf *c = load(text, &e);

	if (e.total > 0)
		fail_msg("%s", e.text[0]);
	assert_non_null(c);
	errlist_fini(&e);
	return c;
}

#define LISTEN "listen \"lan\" { address = \"127.0.0.1:4450\" }\n"

static void
check_path(const char *got, const char *name)
{
	char want[PATH_MAX];

	file_path(want, dir, name);
	assert_non_null(got);
	assert_string_equal(got, want);
}

static void
check_listen(const struct conf_listen *l, const char *name, const char *address)
{
	char text[ADDR_STRLEN];

	assert_string_equal(l->name, name);
	assert_string_equal(addrport_str(&l->address, text), address);
}

static void
test_defaults(void **state)
{
	struct conf *c = load_good(LISTEN);

	(void)state;
	assert_string_equal(c->path, path);
	check_path(c->policy, "policy.conf");
	assert_string_equal(c->control, "/run/smbgate/control.sock");
	assert_null(c->user);
	assert_null(c->keytab);
	assert_string_equal(c->keytab_services, "cifs");
	assert_int_equal(c->keytab_rate, 500);
	assert_null(c->keyd_user);
	assert_null(c->cluster_secret);
	assert_null(c->pid_file);
	assert_int_equal(c->workers, 0);
	assert_int_equal(c->nlisten, 1);
	check_listen(&c->listen[0], "lan", "127.0.0.1:4450");
	conf_free(&c);
	assert_null(c);
	conf_free(&c);
}

static void
test_full(void **state)
{
	struct conf *c = load_good("# all of it\n"
	    "policy  = \"rules/policy.conf\"\n"
	    "workers = 256\n"
	    "control = \"/tmp/control.sock\"\n"
	    "user    = smbgate\n"
	    "keytab  = 'cluster.keytab'\n"
	    "keytab-services = { cifs, \"HOST\" } keytab-rate = 1\n"
	    "keyd-user = smbgate-keyd\n"
	    "auth-winbind = no\n"
	    "cluster-secret = \"../cluster.secret\"\n"
	    "pid-file = /run/smbgate.pid\n"
	    "listen \"lan\" { address = \"10.0.0.5\" }\n"
	    "listen lan6 {\n\taddress = \"[::1]:4450\"\n}\n"
	    "listen all { address = \"0.0.0.0:446\" }\n"
	    "listen \"all-6\" { address = \"[::]\" }\n"
	    "listen old { address = \"10.0.0.6\"\n netbios = true }\n"
	    "listen old6 { netbios = yes\n address = \"[fd00::6]\" }\n"
	    "listen old7 { netbios = true\n address = \"10.0.0.7:1139\" }\n"
	    "listen way { address = \"0.0.0.0:447\"\n intercept = on }\n"
	    "listen behind {\n address = \"10.0.0.8\"\n"
	    " proxy-protocol = { \"10.9.0.0/24\",\n  \"fd00:9::1\" }\n}\n"
	    "listen bare { address = \"10.0.0.9\"\n netbios = off }\n"
	    "listen both { address = \"10.0.0.10\"\n netbios = auto }\n");

	(void)state;
	check_path(c->policy, "rules/policy.conf");
	assert_string_equal(c->control, "/tmp/control.sock");
	assert_string_equal(c->user, "smbgate");
	check_path(c->keytab, "cluster.keytab");
	assert_string_equal(c->keytab_services, "cifs,HOST");
	assert_int_equal(c->keytab_rate, 1);
	assert_string_equal(c->keyd_user, "smbgate-keyd");
	check_path(c->cluster_secret, "../cluster.secret");
	assert_string_equal(c->pid_file, "/run/smbgate.pid");
	assert_int_equal(c->workers, 256);
	assert_int_equal(c->nlisten, 11);
	check_listen(&c->listen[0], "lan", "10.0.0.5:445");
	check_listen(&c->listen[1], "lan6", "[::1]:4450");
	check_listen(&c->listen[2], "all", "0.0.0.0:446");
	check_listen(&c->listen[3], "all-6", "[::]:445");
	check_listen(&c->listen[4], "old", "10.0.0.6:139");
	check_listen(&c->listen[5], "old6", "[fd00::6]:139");
	check_listen(&c->listen[6], "old7", "10.0.0.7:1139");
	check_listen(&c->listen[7], "way", "0.0.0.0:447");
	check_listen(&c->listen[8], "behind", "10.0.0.8:445");
	check_listen(&c->listen[9], "bare", "10.0.0.9:445");
	check_listen(&c->listen[10], "both", "10.0.0.10:445");
	for (size_t i = 0; i < c->nlisten; i++) {
		assert_int_equal(c->listen[i].netbios, i >= 4 && i <= 6 ? CONF_NETBIOS_TRUE :
		    i == 9 ? CONF_NETBIOS_FALSE : CONF_NETBIOS_AUTO);
		assert_int_equal(c->listen[i].intercept, i == 7);
		assert_int_equal(c->listen[i].proxies.n, i == 8 ? 2 : 0);
	}
	conf_free(&c);
}

/* Whose header is believed: those that are listed, and nobody where nobody is. */
static void
test_proxies(void **state)
{
	static const struct {
		const char *peer;
		bool listed;
	} peers[] = {
		{ "10.9.0.1", true }, { "::ffff:10.9.0.255", true }, { "10.9.1.0", false },
		{ "fd00:9::1", true }, { "fd00:9::2", false }, { "127.0.0.1", false }, { "::", false },
	};
	struct conf *c = load_good(LISTEN "listen b { address = \"10.0.0.1\"\n"
	    " proxy-protocol = { \"10.9.0.0/24\", \"fd00:9::1/128\" }\n}\n"
	    "listen none { address = \"10.0.0.2\"\n proxy-protocol = {} }\n"
	    "listen any { address = \"10.0.0.3\"\n"
	    " proxy-protocol = { \"0.0.0.0/0\", \"::/0\" } }\n");

	(void)state;
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct addr a;

		assert_int_equal(addr_parse(&a, peers[i].peer), 0);
		assert_false(conf_is_proxy(&c->listen[0], &a));
		assert_int_equal(conf_is_proxy(&c->listen[1], &a), peers[i].listed);
		assert_false(conf_is_proxy(&c->listen[2], &a));
		assert_true(conf_is_proxy(&c->listen[3], &a));
	}
	conf_free(&c);
}

static void
test_intercept(void **state)
{
	struct conf *c = load_good("listen a { address = \"127.0.0.1\" intercept = true }\n"
	    "listen b { address = \"[::1]\" intercept = no }\nlisten c { address = \"10.0.0.1\" }\n"
	    "listen d { address = \"127.0.0.1\" intercept = yes netbios = yes }\n");

	(void)state;
	assert_true(c->listen[0].intercept && !c->listen[1].intercept && !c->listen[2].intercept);
	assert_true(c->listen[3].intercept);
	assert_int_equal(c->listen[3].netbios, CONF_NETBIOS_TRUE);
	check_listen(&c->listen[3], "d", "127.0.0.1:139");
	conf_free(&c);
}

static void
test_state(void **state)
{
	struct conf *c = load_good(LISTEN
	    "state \"redis\" {\n\tservers = { \"10.0.0.1\", \"[::1]:6380\", \"/run/redis.sock\" }\n"
	    "\tuser = gate\n\tpassword-file = redis.pw\n\ttimeout = 20ms\n}\n");
	char text[ADDR_STRLEN], why[KEYFILE_WHY];

	(void)state;
	assert_int_equal(c->redis.nservers, 3);
	assert_string_equal(addrport_str(&c->redis.servers[0].address, text), "10.0.0.1:6379");
	assert_string_equal(addrport_str(&c->redis.servers[1].address, text), "[::1]:6380");
	assert_string_equal(c->redis.servers[2].path, "/run/redis.sock");
	assert_null(c->redis.sentinel);
	assert_string_equal(c->redis.user, "gate");
	assert_null(c->redis.password);
	check_path(c->redis_password, "redis.pw");
	assert_int_equal(c->redis.timeout_ms, 20);
	assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why), -1);
	assert_string_equal(why, "No such file or directory");
	file_write(c->redis_password, "", 0);
	assert_int_equal(chmod(c->redis_password, 0600), 0);
	assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why), -1);
	file_write(c->redis_password, "\n", 1);
	assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why), -1);
	assert_string_equal(why, "the first line is empty");
	file_write(c->redis_password, "a password\nand more\n", 20);
	assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why), 0);
	assert_string_equal(c->redis.password, "a password");
	unlink(c->redis_password);
	conf_free(&c);
	/* A Sentinel's port is another one. */
	c = load_good(LISTEN "state redis { servers = { \"10.0.0.1\" } sentinel = mymaster }\n");
	assert_string_equal(addrport_str(&c->redis.servers[0].address, text), "10.0.0.1:26379");
	assert_string_equal(c->redis.sentinel, "mymaster");
	assert_int_equal(c->redis.timeout_ms, 50);
	assert_false(c->redis.tls);
	assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why), 0);
	conf_free(&c);
	c = load_good(LISTEN "state redis { servers = { \"10.0.0.1\" } sentinel = m\n"
	    "sentinel-user = u\nsentinel-password-file = s.pw\ntls = true\ntls-ca-file = ca.crt\n"
	    "tls-cert-file = own.crt\ntls-key-file = own.key\ntls-name = redis.example\n}\n");
	assert_true(c->redis.tls);
	assert_string_equal(c->redis.sentinel_user, "u");
	assert_string_equal(c->redis.tls_name, "redis.example");
	check_path(c->sentinel_password, "s.pw");
	check_path(c->tls_ca, "ca.crt");
	check_path(c->tls_cert, "own.crt");
	check_path(c->tls_key, "own.key");
	conf_free(&c);
	c = load_good(LISTEN);
	assert_int_equal(c->redis.nservers, 0);
	conf_free(&c);
}

/* A file named relative to the working directory gives absolute paths all the same. */
static void
test_relative(void **state)
{
	char before[PATH_MAX], here[PATH_MAX], want[PATH_MAX + 16];
	struct errlist e = { .n = 0 };
	struct conf *c;

	(void)state;
	file_write(path, LISTEN, strlen(LISTEN));
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(dir), 0);
	assert_non_null(getcwd(here, sizeof(here)));
	c = conf_load("smbgate.conf", &e);
	assert_int_equal(chdir(before), 0);
	assert_non_null(c);
	assert_int_equal(e.total, 0);
	snprintf(want, sizeof(want), "%s/policy.conf", here);
	assert_string_equal(c->policy, want);
	snprintf(want, sizeof(want), "%s/smbgate.conf", here);
	assert_string_equal(c->path, want);
	conf_free(&c);
}

#define LONG "x1234567890123456789012345678901234567890123456789012345678901234567890"

static const struct bad bads[] = {
	{ "an empty file", "", { { 1, "no listener: there must be" } } },
	{ "no listener", "workers = 1\n\n", { { 3, "no listener: there must be" } } },
	{ "an unknown option", LISTEN "worker = 3\nworkers = x\n",
	    { { 2, "no such option 'worker'" }, { 3, "workers" } } },
	{ "an unknown section",
	    LISTEN "listener \"a\" {\n address = \"10.0.0.1\"\n}\nworkers = x\n",
	    { { 2, "no such option 'listener'" }, { 5, "workers" } } },
	{ "an option of policy.conf", LISTEN "smb1 = allow\n", { { 2, "'smb1'" } } },
	{ "too many workers", LISTEN "workers = 257\n", { { 2, "workers: 257 is out of range (0 to 256)" } } },
	{ "fewer than no workers", LISTEN "workers = -1\n",
	    { { 2, "workers: \"-1\" is not a number (0 to 256)" } } },
	{ "workers by name", LISTEN "workers = many\n", { { 2, "\"many\" is not a number" } } },
	{ "workers twice", LISTEN "workers = 1\nworkers = 2\n", { { 3, "workers is already set" } } },
	{ "an empty path", LISTEN "\npolicy = \"\"\n", { { 3, "policy: the value is empty" } } },
	{ "winbind", "\n" LISTEN "auth-winbind = yes\n", { { 3, "winbind for keys is not supported" } } },
	{ "winbind, perhaps", LISTEN "auth-winbind = perhaps\n", { { 2, "true or false" } } },
	{ "an empty user for smbgate-keyd", LISTEN "keyd-user = \"\"\n", { { 2, "keyd-user" } } },
	{ "an empty user", LISTEN "user = \"\"\n", { { 2, "user" } } },
	{ "a control socket's long name",
	    LISTEN "control = \"/" LONG LONG "\"\nuser = \"\"\n",
	    { { 2, "is too long: the path of a socket has at most 107 bytes" }, { 3, "user" } } },
	{ "no address", LISTEN "listen \"b\"\n{\n}\n", { { 3, "listen \"b\" has no address" } } },
	{ "an empty address", "listen a { address = \"\" }\n",
	    { { 1, "address: \"\" is not ADDRESS or ADDRESS:PORT" } } },
	{ "an address by name", "listen a { address = \"localhost:445\" }\n",
	    { { 1, "\"localhost:445\"" } } },
	{ "an IPv6 address and port without brackets, not an address",
	    "listen a { address = \"::1::445\" }\n", { { 1, "\"::1::445\"" } } },
	{ "port 0", "listen a { address = \"10.0.0.1:0\" }\n", { { 1, "10.0.0.1:0" } } },
	{ "a port too large", "listen a {\n address = \"10.0.0.1:70000\"\n}\n", { { 2, "10.0.0.1:70000" } } },
	{ "a zone", "listen a { address = \"[fe80::1%eth0]:445\" }\n", { { 1, "fe80" } } },
	{ "an address twice", LISTEN "listen b {\n address = \"127.0.0.1:4450\" }\n",
	    { { 3, "listen \"b\" has the same address as listen \"lan\"" } } },
	{ "an address twice, by its port",
	    "listen a { address = \"[::1]\" }\nlisten b { address = \"[0::1]:445\" }\n",
	    { { 2, "listen \"b\" has the same address as listen \"a\"" } } },
	{ "all addresses, and one of them",
	    "listen a { address = \"0.0.0.0\" }\nlisten b { address = \"10.0.0.1\" }\n"
	    "listen c { address = \"[::]\" }\nlisten d { address = \"10.0.0.1:446\" }\n"
	    "listen e { address = \"[::1]\" }\nlisten f { address = \"[::1]:446\" }\n",
	    { { 2, "listen \"b\" has the same address as listen \"a\": one of them has all" },
	        { 5, "listen \"e\" has the same address as listen \"c\": one" } } },
	{ "a listener twice", LISTEN "listen \"lan\" {\n address = \"10.0.0.1\"\n}\nworkers = x\n",
	    { { 2, "found duplicate title 'lan'" }, { 5, "workers" } } },
	{ "a listener's strange name", "listen \"a b\" { address = \"10.0.0.1\" }\n",
	    { { 1, "listen \"a b\": a name has 1 to 63 letters" } } },
	{ "a listener's long name", "listen " LONG " { address = \"10.0.0.1\" }\n",
	    { { 1, "a name has" } } },
	{ "a listener without a name", "listen { address = \"10.0.0.1\" }\n",
	    { { 1, "missing title" } } },
	{ "netbios, perhaps",
	    LISTEN "listen b { address = \"10.0.0.1\"\n netbios = maybe\n}\nworkers = x\n",
	    { { 3, "netbios: \"maybe\"" }, { 5, "workers" } } },
	{ "netbios twice",
	    LISTEN "listen b { address = \"10.0.0.1\"\n netbios = true\n netbios = false\n}\n",
	    { { 4, "netbios is already set" } } },
	{ "intercept by number", LISTEN "listen b { address = \"10.0.0.1\"\n\n intercept = 2\n}\n",
	    { { 4, "intercept: \"2\"" } } },
	{ "netbios outside", LISTEN "netbios = true\n", { { 2, "'netbios'" } } },
	{ "the port of a netbios listener, twice",
	    "listen a { address = \"10.0.0.1:139\" }\n"
	    "listen b { netbios = true\n address = \"10.0.0.1\" }\n",
	    { { 3, "listen \"b\" has the same address as listen \"a\"" } } },
	{ "proxies that are none",
	    LISTEN "listen b { address = \"10.0.0.1\"\n proxy-protocol = { \"10.9.0.1\",\n"
	    "  \"10.9.0.1/24\",\n \"lb.example\",\n \"fd00::/129\", \"fe80::1%eth0\" }\n}\n"
	    "workers = x\n",
	    { { 4, "10.9.0.1/24" }, { 5, "lb.example" }, { 6, "fd00::/129" }, { 6, "fe80::1%eth0" },
	        { 8, "workers" } } },
	{ "services that are none",
	    LISTEN "keytab-services = { \"cifs/nas\",\n \"cifs,host\", cifs,\n"
	    " \"a-name-of-thirty-one-characters\" }\nkeytab-rate = 0\n",
	    { { 2, "\"cifs/nas\" is no service" }, { 3, "\"cifs,host\" is no service" },
	        { 4, "\"a-name-of-thirty-one-characters\" is no service" },
	        { 5, "keytab-rate" } } },
	{ "services without end",
	    LISTEN "keytab-services = { a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a,\n a, a }\n",
	    { { 3, "keytab-services has more than 16 names" } } },
	{ "an empty proxy",
	    LISTEN "listen b { address = \"10.0.0.1\"\n proxy-protocol = { \"\" }\n}\n",
	    { { 3, "proxy-protocol: \"\"" } } },
	{ "an open string", LISTEN "policy = \"policy.conf\nworkers = x\n",
	    { { 2, "missing closing quote" }, { 3, "workers" } } },
	{ "half a file", LISTEN "listen b {\n", { { 2, "never closed" } } },
	{ "no equal sign", LISTEN "policy \"policy.conf\"\nworkers = x\n",
	    { { 2, "missing equal sign after option 'policy'" }, { 3, "workers" } } },
	{ "intercept", LISTEN "listen b { address = \"::1\"\nintercept = here }\n",
	    { { 3, "intercept: \"here\" is not" } } },
	{ "include", LISTEN "include(\"other.conf\")\n", { { 2, "'include'" } } },
	{ "a list", LISTEN "policy = { \"a\", \"b\" }\n", { { 2, "unexpected token '{'" } } },
	{ "a state that is not known",
	    LISTEN "state \"memcached\" { servers = { \"10.0.0.1\" } }\n",
	    { { 2, "the only kind is \"redis\"" } } },
	{ "a state without servers", LISTEN "\nstate redis {\n}\n", { { 3, "has no servers" } } },
	{ "an empty list of servers", LISTEN "state redis {\n servers = {}\n}\n",
	    { { 2, "has no servers" } } },
	{ "servers by name",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\",\n\"redis.example\" }\n}\n",
	    { { 4, "\"redis.example\" is neither ADDRESS:PORT nor" } } },
	{ "a socket's long name", LISTEN "state redis {\n servers = { \"/" LONG LONG "\" }\n}\n",
	    { { 3, "is too long: the path of a socket has at most 107 bytes" } } },
	{ "a user without a password",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n user = a\n}\n",
	    { { 4, "a user needs a password-file" } } },
	{ "a Sentinel's user without a password",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n sentinel = m\n"
	    " sentinel-user = a\n}\n",
	    { { 5, "a sentinel-user needs a sentinel-password-file" } } },
	{ "a Sentinel's password without Sentinels",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n sentinel-password-file = a\n}\n",
	    { { 4, "sentinel-password-file has no meaning without sentinel" } } },
	{ "TLS with anybody",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n tls = true\n}\n",
	    { { 4, "tls needs a tls-ca-file, which says whom to believe" } } },
	{ "a certificate without its key",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n tls = true\n tls-ca-file = ca\n"
	    " tls-cert-file = c\n}\n",
	    { { 4, "tls-cert-file and tls-key-file go together" } } },
	{ "an authority, and no TLS",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n tls-ca-file = ca\n}\n",
	    { { 2, "the tls- options have no meaning without tls = true" } } },
	{ "no time at all",
	    LISTEN "state redis {\n servers = { \"10.0.0.1\" }\n timeout = 1ms\n}\n",
	    { { 4, "timeout: 1ms is out of range (5ms to 5s)" } } },
	{ "two states", LISTEN "state redis { servers = { \"10.0.0.1\" } }\nstate other {\n}\n",
	    { { 3, "more than one state section" } } },
	{ "many errors",
	    "policy = \"\"\nlisten a { address = x }\nlisten b { adress = y }\nworkers = 999\n"
	    "nonsense\n",
	    { { 1, "policy" }, { 2, "address" }, { 3, "'adress'" }, { 4, "workers" },
	        { 5, "nonsense" } } },
};

static void
test_bad(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(bads); i++) {
		struct errlist e;
		struct conf *c = load(bads[i].text, &e);

		failed += !errors_match(&bads[i], path, &e);
		/* Wrong as it is, it leads to the policy and the errors of that. */
		assert_non_null(c);
		assert_non_null(c->policy);
		conf_free(&c);
		errlist_fini(&e);
		c = load_good(LISTEN);
		assert_int_equal(c->nlisten, 1);
		conf_free(&c);
	}
	assert_int_equal(failed, 0);
}

static void
test_unreadable(void **state)
{
	struct errlist e = { .n = 0 };
	char name[PATH_MAX];

	(void)state;
	file_path(name, dir, "gone.conf");
	assert_null(conf_load(name, &e));
	assert_int_equal(e.n, 1);
	assert_non_null(strstr(e.text[0], "gone.conf: No such file or directory"));
	errlist_fini(&e);
	assert_null(conf_load(dir, &e));
	assert_int_equal(e.n, 1);
	errlist_fini(&e);
}

static void
test_many(void **state)
{
	for (int n = CONF_LISTEN_MAX; n <= CONF_LISTEN_MAX + 1; n++) {
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);
		struct errlist e;
		struct conf *c;

		(void)state;
		for (int i = 0; i < n; i++)
			fprintf(f, "listen l%d {\n address = \"10.0.0.1:%d\" }\n", i, 1000 + i);
		fclose(f);
		c = load(text, &e);
		assert_non_null(c);
		if (n == CONF_LISTEN_MAX) {
			assert_int_equal(e.total, 0);
			assert_int_equal(c->nlisten, n);
		} else {
			assert_int_equal(e.total, 1);
			assert_non_null(strstr(e.text[0],
			    ":129: too many listeners: 65, at most 64 are allowed"));
		}
		conf_free(&c);
		errlist_fini(&e);
		free(text);
	}
}

/* Whichever allocation fails: an error, and never a file that seems to lack what it says. */
static void
test_memory(void **state)
{
	static const char text[] =
	    "policy = rules.conf\nuser = smbgate\nkeytab = k\nkeyd-user = keyd\n"
	    "cluster-secret = s\npid-file = p\n"
	    "listen b { address = \"10.0.0.1\" proxy-protocol = { \"10.9.0.0/24\" } }\n"
	    "state redis { servers = { \"10.0.0.1\" } sentinel = m user = u password-file = w }\n";
	struct errlist e = { .n = 0 };
	struct conf *c;
	int n = 0;

	(void)state;
	file_write(path, text, strlen(text));
	for (;; n++) {
		bool failed;

		memory_fail(n);
		c = conf_load(path, &e);
		failed = memory_restore();
		if (!failed)
			break;
		assert_true(e.total > 0);
		assert_non_null(strstr(e.text[0], "emory"));
		conf_free(&c);
		errlist_fini(&e);
	}
	assert_true(n > 5);
	assert_int_equal(e.total, 0);
	assert_string_equal(c->user, "smbgate");
	assert_string_equal(c->keyd_user, "keyd");
	file_write(c->redis_password, "x\n", 2);
	assert_int_equal(chmod(c->redis_password, 0600), 0);
	for (n = 0; n < 2; n++) {
		char why[KEYFILE_WHY];

		memory_fail(n);
		assert_int_equal(conf_password(c->redis_password, &c->redis.password, NULL, why),
		    n == 0 ? -1 : 0);
		if (n == 0)
			assert_string_equal(why, "out of memory");
		memory_restore();
	}
	unlink(c->redis_password);
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_proxies),
		cmocka_unit_test(test_intercept),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_relative),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_memory),
	};
	int failed;

	dir_begin(dir);
	file_path(path, dir, "smbgate.conf");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dir_end(dir);
	return failed;
}
