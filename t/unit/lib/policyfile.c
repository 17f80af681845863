/* policyfile.c: a policy.conf in a directory of the test's own, and texts for it, for tests */
#include "config.h"

#include "t/unit/lib/policyfile.h"

#include "policy/policy.h"
#include "policy/schema.h"
#include "t/unit/lib/policy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

char policyfile_dir[PATH_MAX], policyfile_path[PATH_MAX];

const char full_policy[] =
    "# everything, with no default in it\n"
    "node \"n1\" { address = \"127.0.0.11:1445\" weight = 2 }\n"
    "node n2 {\n"
    "\taddress = '[fd00::2]:1445'  // in brackets\n"
    "\tstate = drain\n"
    "}\n"
    "/* three nodes;\n"
    "   the last \"one\n"
    "   has no port */\n"
    "node \"n-3.x_Y\" { address = \"127.0.0.13\" state = \"maint\" weight = \"1000\" }\n"
    "addresses {\n"
    "\tallow = { \"10.1.0.0/24\", \"fd00:1::/64\",\n"
    "\t\t10.2.0.0/16 }\n"
    "\tdeny = { \"10.1.0.100\" }\n"
    "\tdeny += { \"10.1.0.101\" }\n"
    "}\n"
    "interfaces \"lan\" {\n"
    "\tmode = announce\n"
    "\taddress \"10.1.0.5\" { speed = \"25G\" rss = true ifindex = 2 }\n"
    "\taddress \"10.1.0.6\" { speed = 2.5G rss = no }\n"
    "\taddress \"fd00:1::5\" { }\n"
    "\taddress \"::ffff:10.1.0.7\" { ifindex = 1 rss = on }\n"
    "}\n"
    "interfaces \"dmz\" { mode = filter }\n"
    "interfaces \"vpn\" { mode = \"pass\" }\n"
    "interfaces \"bare\" { }\n"
    "smb1 = allow unkeyed = \"refuse\"\n"
    "gmac=resign compression = pass\n"
    "auth { ntlm = refuse guest = \"refuse\" min-dialect = 3.0.2 }\n"
    "pin-linger = \"1h\" no-node = reset\n"
    "health { interval = 50ms timeout = \"1s\" rise = 1 fall = 2 slow-start = 0\n"
    "\tflap-changes = 4 flap-window = \"61s\" flap-hold = \"62s\"\n"
    "\tlogon-fall = 5 logon-hold = \"63s\" hang = \"33s\" }\n"
    "limits { first-frame = \"6s\" negotiate = \"11s\" logon = \"31s\" unauthenticated = 100\n"
    "\tunauthenticated-per-source = 10 connections-per-source = 200\n"
    "\tunauthenticated-memory = 4M accept-rate = 0 accept-burst = 7 }\n"
    "tcp { keepalive-idle = \"31s\" keepalive-interval = \"11s\" keepalive-count = 4\n"
    "\tclient-timeout = \"61s\" node-timeout = \"12s\" connect-timeout = \"1500ms\" }";

const char *const odd_policies[] = {
	NODE,
	"node \"n1\" { address = \"127.0.0.11:1445\" }", /* no newline at the end */
	"\xef\xbb\xbf" NODE,
	"node \"n1\" { address = \"127.0.0.11:1445\" }\r\nsmb1 = allow\r\n",
	"node\n\"n1\"\n{\naddress\n=\n\"127.0.0.11:1445\"\n}\n",
	NODE "smb1 = 'allow'\n",
	NODE "smb1 = \"al\\x6cow\"\n",
	NODE "source = own source-pool = { \"10.0.0.1\" }\n",
	NODE "source = pool source-pool = \"10.0.0.1\"\n",
	NODE "node n2 { address = \"10.0.0.2\" other-addresses = { } }\n",
	NODE "node n2 { address = \"10.0.0.2\" "
	    "other-addresses = { \"10.0.0.2\", \"10.0.0.3\" } }\n",
	NODE "smb1=allow//now\nunkeyed=pass#then\ngmac=/*last*/pass",
	NODE "/**/ /***/ /* /* */ # */\n",
	NODE "addresses { }\n",
	NODE "addresses { allow = { } deny = { } }\n",
	NODE "addresses { allow = \"10.0.0.1\" }\n",
	NODE "addresses {\n allow =\n {\n \"10.0.0.1\"\n ,\n }\n}\n",
	NODE "addresses { allow = { \"10.0.0.1\" } }\naddresses { deny = { \"10.0.0.1\" } }\n",
	NODE "health { } limits { } tcp { }\n",
	NODE "health { rise = 1 }\nhealth { fall = 1 }\n",
	NODE "interfaces lan { address 10.0.0.1 { } address fd00::1 { } }\n",
	NODE "interfaces lan { address \"10.0.0.1\" { ifindex = 7 } "
	    "address fd00::1 { ifindex = 7 } }\n",
	NODE "pin-linger = 0\n",
	NODE "pin-linger = \"24h\"\n",
	NODE "tcp { keepalive-idle = 0 client-timeout = 0 }\n",
	NODE "smb1 = \"${SMBGATE_T_NONE:-refuse}\"\n",
	NODE "smb1 = \"al${SMBGATE_T_LOW}\" gmac = ${SMBGATE_T_NONE:-pass}\n",
	NODE "smb1 = \"${SMBGATE_T_NONE:-allow}\" pin-linger = \"${SMBGATE_T_NONE:-}15m\"\n",
	NODE "smb1 = \"refuse\\x00${SMBGATE_T_NONE:-\"}\"\n",
	NODE "# ${HOME} \" ' { /* not read\n",
	NODE "// '\"{ ${X}\n",
	NODE "/* '\"{\n ${X} */\n",
	NODE "\n\n\n\n",
	NULL,
};

void
policyfile_begin(void)
{
	setenv("SMBGATE_T_LOW", "low", 1);
	setenv("SMBGATE_T_BAD", "a\"b}", 1);
	dir_begin(policyfile_dir);
	file_path(policyfile_path, policyfile_dir, "policy.conf");
	deny_file("good", "10.1.0.1/24 eth0\n");
}

void
policyfile_end(void)
{
	dir_end(policyfile_dir);
}

struct policy *
load(const char *text, struct errlist *e)
{
	file_write(policyfile_path, text, strlen(text));
	*e = (struct errlist){ .n = 0 };
	return schema_load(policyfile_path, e);
}

struct policy *
load_good(const char *text)
{
	struct errlist e;
	struct policy *p = load(text, &e);

	if (p == NULL)
		fail_msg("%s", e.n > 0 ? e.text[0] : "no policy and no error");
	assert_int_equal(e.total, 0);
	errlist_fini(&e);
	return p;
}

void
deny_file(const char *name, const char *text)
{
	char file[PATH_MAX];

	file_path(file, policyfile_dir, name);
	file_write(file, text, strlen(text));
}

bool
same_rules(const struct pol_listener *a, const struct pol_listener *b)
{
	return strcmp(a->name, b->name) == 0 && a->smb1 == b->smb1 && a->source == b->source &&
	    a->vc_reset == b->vc_reset && a->auth.ntlm == b->auth.ntlm &&
	    a->auth.guest == b->auth.guest && a->auth.min_dialect == b->auth.min_dialect;
}
