/* policy-bad.c: unit tests of loading policy.conf: the errors of bad files, and where they are */
#include "config.h"

#include "policy/acl.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "t/unit/lib/policy.h"
#include "t/unit/lib/policyfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#define IFS(x) NODE "interfaces \"lan\" {\n" x "\n}\n"

static const struct bad bads[] = {
	{ "an empty file", "", { { 1, "no node: there must be at least one node" } } },
	{ "blanks alone", " \t\r\n\n", { { 3, "no node: there must be at least one node" } } },
	{ "comments alone", "# a\n/* b\n c */", { { 4, "no node: there must be at least one node" } } },
	{ "a wrong word", NODE "smb1 = maybe\n", { { 2, "smb1: \"maybe\" is not refuse or allow" } } },
	{ "a word in the wrong case", NODE "smb1 = Allow\n", { { 2, "\"Allow\" is not" } } },
	{ "an empty value", NODE "gmac = \"\"\n", { { 2, "gmac: \"\" is not pass, refuse or resign" } } },
	{ "unkeyed", NODE "\nunkeyed = yes\n", { { 3, "unkeyed: \"yes\" is not pass or refuse" } } },
	{ "compression", NODE "compression = on\n", { { 2, "compression: \"on\" is not refuse or pass" } } },
	{ "words of auth", NODE "auth {\n ntlm = no\n guest = maybe\n min-dialect = \"3.1\"\n}\n",
	    { { 3, "ntlm: \"no\" is not allow or refuse" }, { 4, "guest" },
	      { 5, "min-dialect: \"3.1\" is not 2.0.2, 2.1, 3.0, 3.0.2 or 3.1.1" } } },
	{ "an unknown option of auth", NODE "auth { kerberos = allow }\n", { { 2, "kerberos" } } },
	{ "a word twice", NODE "smb1 = allow\nsmb1 = refuse\n",
	    { { 3, "smb1 is already set on line 2" } } },
	{ "a time without unit", NODE "pin-linger = 15\n", { { 2, "with its unit" } } },
	{ "a time with a wrong unit", NODE "pin-linger = \"15x\"\n", { { 2, "pin-linger: \"15x\"" } } },
	{ "a negative time", NODE "pin-linger = \"-1s\"\n", { { 2, "\"-1s\" is not a time" } } },
	{ "a time too long", NODE "pin-linger = \"25h\"\n",
	    { { 2, "pin-linger: 25h is out of range (0 to 24h)" } } },
	{ "a time beyond 64 bits", NODE "pin-linger = \"99999999999999999999h\"\n",
	    { { 2, "is out of range (0 to 24h)" } } },
	{ "a time too short", NODE "health {\n interval = \"49ms\"\n}\n",
	    { { 3, "interval: 49ms is out of range (50ms to 24h)" } } },
	{ "half a second of keepalive", NODE "tcp {\n keepalive-idle = \"1500ms\"\n}\n",
	    { { 3, "whole seconds" } } },
	{ "keepalive beyond the kernel's", NODE "tcp { keepalive-interval = \"10h\" }\n",
	    { { 2, "keepalive-interval: 10h is out of range (1s to 32767s)" } } },
	{ "a number with letters", NODE "health { rise = abc }\n",
	    { { 2, "rise: \"abc\" is not a number (1 to 100)" } } },
	{ "a number too small", NODE "health { fall = 0 }\n", { { 2, "fall: 0 is out of range (1 to 100)" } } },
	{ "no size", NODE "limits { unauthenticated-memory = some }\n",
	    { { 2, "unauthenticated-memory: \"some\" is not a size in bytes" } } },
	{ "a size too small", NODE "limits { unauthenticated-memory = \"999K\" }\n",
	    { { 2, "unauthenticated-memory: 999K is out of range (1M to 1T)" } } },
	{ "a number too large", NODE "limits { accept-rate = 1000001 }\n",
	    { { 2, "accept-rate: 1000001 is out of range (0 to 1000000)" } } },
	{ "a number beyond 64 bits", NODE "limits { accept-burst = 18446744073709551617 }\n",
	    { { 2, "accept-burst: 18446744073709551617 is out of range" } } },
	{ "a negative number", NODE "limits { unauthenticated = -1 }\n",
	    { { 2, "unauthenticated: \"-1\" is not a number" } } },
	{ "a hexadecimal number", NODE "limits { unauthenticated = 0x10 }\n", { { 2, "\"0x10\"" } } },
	{ "a fraction", NODE "limits { unauthenticated = 1.5 }\n", { { 2, "\"1.5\"" } } },
	{ "weight 0", "node a { address = \"10.0.0.1\" weight = 0 }\n",
	    { { 1, "weight: 0 is out of range (1 to 1000)" } } },
	{ "weight 1001", "node a {\n weight = 1001\n address = \"10.0.0.1\" }\n",
	    { { 2, "weight: 1001 is out of range" } } },
	{ "a wrong node state", "node a { address = \"10.0.0.1\" state = off }\n",
	    { { 1, "state: \"off\" is not active, drain or maint" } } },
	{ "a node without an address", NODE "\nnode \"n2\" {\n weight = 2\n\n}\n",
	    { { 3, "node \"n2\" has no address" } } },
	{ "a node's wrong address", "node a {\n\n address = \"10.0.0.300:445\"\n}\n",
	    { { 3, "address: \"10.0.0.300:445\" is not an address: 300 is more than 255" } } },
	{ "a node by name", "node a { address = \"localhost:445\" }\n", { { 1, "\"localhost:445\"" } } },
	{ "a node's wrong port", "node a { address = \"10.0.0.1:65536\" }\n", { { 1, "65536" } } },
	{ "a node's port 0", "node a { address = \"10.0.0.1:0\" }\n", { { 1, ":0\" is not" } } },
	{ "a node at 0.0.0.0", "node a {\n address = \"0.0.0.0:445\" }\n",
	    { { 2, "node \"a\": 0.0.0.0:445 is the unspecified address" } } },
	{ "a node at everybody", "node a { address = \"255.255.255.255\" }\n", { { 1, "broadcast" } } },
	{ "a node at no link", "node a { address = \"[fe80::1]:445\" }\n", { { 1, "link-local" } } },
	{ "a semicolon", "node a { address = \"10.0.0.1\"; }\n", { { 1, "a semicolon" } } },
	{ "a node at a group", "node a { address = \"224.0.0.1\" }\n", { { 1, "multicast" } } },
	{ "a node twice", NODE "node \"n2\" {\n address = \"10.0.0.2\"\n}\nnode \"n1\" {\n"
	    " address = \"10.0.0.3\"\n}\nsmb1 = x\n",
	    { { 5, "found duplicate title 'n1'" }, { 8, "smb1" } } },
	{ "a node twice, its brace below",
	    NODE "node \"n1\"\n\n{\n address = \"10.0.0.3\"\n}\nsmb1 = x\n",
	    { { 2, "found duplicate title 'n1'" }, { 7, "smb1" } } },
	{ "two nodes at one address", NODE "node b {\n address = \"127.0.0.11:1445\"\n}\n",
	    { { 3, "node \"b\" has the same address as node \"n1\"" } } },
	{ "two spellings of one address",
	    "node a { address = \"10.0.0.1\" }\nnode b { address = \"[::ffff:10.0.0.1]:445\" }\n",
	    { { 2, "node \"b\" has the same address as node \"a\"" } } },
	{ "a node without a name", NODE "node \"\" { address = \"10.0.0.2\" }\n",
	    { { 2, "node \"\": a name has 1 to 63 letters" } } },
	{ "a node's strange name", NODE "node \"a b\" { address = \"10.0.0.2\" }\n",
	    { { 2, "node \"a b\": a name has" } } },
	{ "a node's long name",
	    "node x234567890123456789012345678901234567890123456789012345678901234\n{\n"
	    " address = \"10.0.0.2\" }\n", { { 2, "a name has 1 to 63 letters" } } },
	{ "a node without a title", NODE "node { address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 2, "missing title" }, { 3, "smb1" } } },
	{ "a wrong source", NODE "source = client\n",
	    { { 2, "source: \"client\" is not own, transparent or pool" } } },
	{ "no pool", NODE "\nsource = pool\n", { { 3, "source = pool needs a source-pool" } } },
	{ "no pool of a listener", NODE "\nlistener lan {\n source = pool\n}\n",
	    { { 4, "source = pool needs a source-pool" } } },
	{ "a listener's wrong word", NODE "listener lan {\n smb1 = yes\n}\n",
	    { { 3, "smb1: \"yes\" is not refuse or allow" } } },
	{ "a listener twice", NODE "listener lan { }\nlistener lan {\n}\n",
	    { { 3, "found duplicate title 'lan'" } } },
	{ "a listener's wrong name", NODE "listener \"a b\" { }\n",
	    { { 2, "listener \"a b\": a name has" } } },
	{ "a listener with what is the file's", NODE "listener lan {\n rebalance = true\n}\n",
	    { { 3, "'rebalance'" } } },
	{ "a pool of names", NODE "source-pool = { \"10.0.0.1\",\n gate }\n",
	    { { 3, "\"gate\"" } } },
	{ "a pool of prefixes", NODE "source-pool = { \"10.0.0.0/24\" }\n",
	    { { 2, "10.0.0.0/24" } } },
	{ "a pool with a group",
	    NODE "source = pool source-pool = { \"10.0.0.1\",\n\"ff02::1\" }\n",
	    { { 3, "source-pool: ff02::1 is a multicast address" } } },
	{ "a pool with nobody", NODE "source-pool = { \"0.0.0.0\" }\n", { { 2, "0.0.0.0" } } },
	{ "rebalance", NODE "rebalance = maybe\n", { { 2, "rebalance" } } },
	{ "another address with a port",
	    "node a { address = \"10.0.0.1\"\n other-addresses = { \"10.0.0.2:445\" } }\n",
	    { { 2, "10.0.0.2:445" } } },
	{ "another address that is a group",
	    "node a { address = \"10.0.0.1\"\n other-addresses = { \"224.0.0.1\" } }\n",
	    { { 2, "node \"a\": 224.0.0.1 is a multicast address" } } },
	{ "another address that is another node's",
	    "node a { address = \"10.0.0.1\"\n"
	    " other-addresses = { \"10.0.0.9\",\n\"10.0.0.2\" } }\n"
	    "node b { address = \"10.0.0.2:1445\" }\n",
	    { { 3, "node \"a\": 10.0.0.2 is also an address of node \"b\"" } } },
	{ "another address of two nodes",
	    "node a { address = \"10.0.0.1\" other-addresses = { \"10.0.0.9\" } }\n"
	    "node b { address = \"10.0.0.2\" other-addresses = { \"::ffff:10.0.0.9\" } }\n",
	    { { 1, "10.0.0.9 is also an address of node \"b\"" },
	      { 2, "10.0.0.9 is also an address of node \"a\"" } } },
	{ "an unknown option", NODE "smb2 = allow\nsmb1 = x\n",
	    { { 2, "no such option 'smb2'" }, { 3, "smb1" } } },
	{ "unknown options", NODE "a = 1\n\nb = { 2 }\n\nc { d = 3 }\ne \"f\" {\n g = 4 }\n",
	    { { 2, "'a'" }, { 4, "'b'" }, { 6, "'c'" }, { 7, "'e'" } } },
	{ "an unknown option in a section", NODE "health {\n rise = 2\n rice = 2\n fall = x\n}\n",
	    { { 4, "no such option 'rice'" }, { 5, "fall" } } },
	{ "unknown options in short sections",
	    "node a { adress = \"10.0.0.1\" }\n"
	    "node b { wait = 3 address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 1, "'adress'" }, { 2, "'wait'" }, { 3, "smb1" } } },
	{ "a wrong value before an unknown option", "node a { weight = 0 adress = \"10.0.0.1\" }\n",
	    { { 1, "weight" }, { 1, "'adress'" } } },
	{ "an option of another section", NODE "health { weight = 1 }\n", { { 2, "'weight'" } } },
	{ "an option by its path", NODE "health|rise = 0\n", { { 2, "no such option 'rise' here" } } },
	{ "an option by the path of a title", NODE "\"node=n1|weight\" = 5\n",
	    { { 2, "no such option 'weight' here" } } },
	{ "an option without a name", NODE "health {\n \"\" = 5\n}\nsmb1 = x\n",
	    { { 3, "syntax error" }, { 5, "smb1" } } },
	{ "the inner mark of sections",
	    NODE "node b { \"\\1\" { } address = \"10.0.0.2\" \"\\1\" = 2 }\n",
	    { { 2, "missing opening brace" } } },
	{ "include", NODE "include(\"/etc/passwd\")\nsmb1 = x\n",
	    { { 2, "no such option 'include'" }, { 3, "smb1" } } },
	{ "no equal sign", NODE "smb1 allow\nunkeyed = x\n",
	    { { 2, "missing equal sign after option 'smb1'" }, { 3, "unkeyed" } } },
	{ "nothing but a name", NODE "smb1\nunkeyed = pass\ngmac = x\n",
	    { { 2, "missing equal sign after option 'smb1'" }, { 4, "gmac" } } },
	{ "no value", NODE "smb1 =\nunkeyed = pass\ngmac = x\n",
	    { { 2, "missing value after the equal sign" }, { 4, "gmac" } } },
	{ "no value, and the next line is empty", NODE "smb1 = # which?\n\n\ngmac = x\n",
	    { { 2, "missing value after the equal sign" }, { 5, "gmac" } } },
	{ "no value at the end", NODE "gmac = x\nsmb1 =", { { 2, "gmac" }, { 3, "missing value after the equal sign" } } },
	{ "a name at the end", NODE "gmac = x\nsmb1\n\n", { { 2, "gmac" }, { 3, "end of file" } } },
	{ "no value at the end of a section", "node a {\n address =\n}\nsmb1 = x\n",
	    { { 2, "missing value after the equal sign" }, { 4, "smb1" } } },
	{ "no value in a short section", "node a { address = }\nsmb1 = x\n",
	    { { 1, "unexpected token '}'" }, { 2, "smb1" } } },
	{ "two values", NODE "smb1 = allow refuse\ngmac = x\n",
	    { { 2, "no such option 'refuse'" }, { 3, "gmac" } } },
	{ "an equal sign alone", NODE "= 3\nsmb1 = x\n", { { 2, "unexpected token '='" }, { 3, "smb1" } } },
	{ "more for what is no list", NODE "smb1 += allow\n", { { 2, "non-list option 'smb1'" } } },
	{ "no brace", NODE "health rise = 3\nsmb1 = x\n",
	    { { 2, "missing opening brace for section 'health'" }, { 3, "smb1" } } },
	{ "no brace for a section of lines", NODE "health\n rise = 3\n}\nsmb1 = x\n",
	    { { 2, "missing opening brace" }, { 3, "'rise'" }, { 4, "unexpected closing brace" }, { 5, "smb1" } } },
	{ "a brace too many", NODE "}\nsmb1 = x\n", { { 2, "unexpected closing brace" }, { 3, "smb1" } } },
	{ "a brace too few", NODE "smb1 = x\nhealth {\n rise = 0\nfall = 2\n",
	    { { 2, "smb1" }, { 3, "this opening brace is never closed" }, { 4, "rise" } } },
	{ "a brace too few, more behind", NODE "health {\n rise = 0\nsmb1 = refuse\ngmac = pass\n",
	    { { 2, "never closed" }, { 3, "rise" }, { 4, "no such option 'smb1'" } } },
	{ "half a file, in a section", NODE "addresses {\n allow = { \"10.0.0.0/8\" }\n",
	    { { 2, "never closed" } } },
	{ "half a file, in a list", NODE "addresses {\n allow = { \"10.0.0.0/8\",\n",
	    { { 3, "never closed" } } },
	{ "half a file, in a string", NODE "addresses {\n allow = { \"10.0.0",
	    { { 3, "missing closing quote" } } },
	{ "half a file, in a node", "node \"n1\" { address", { { 1, "never closed" } } },
	{ "half a file, in a comment", NODE "smb1 = x\n/* half\n of it", { { 2, "smb1" },
	    { 3, "this comment is never closed" } } },
	{ "a comment that swallows a brace", NODE "health { /* never\n rise = 2\n}\n",
	    { { 2, "this comment is never closed" } } },
	{ "an open string", NODE "smb1 = \"allow\ngmac = \"x\"\nunkeyed = 'pass\npin-linger = y\n",
	    { { 2, "missing closing quote" }, { 3, "gmac" }, { 4, "missing closing quote" },
	        { 5, "pin-linger" } } },
	{ "an open title", NODE "node \"n2 { address = \"10.0.0.2\" }\nsmb1 = x\n",
	    { { 2, "missing closing quote" }, { 3, "smb1" } } },
	{ "an open title of a section of lines",
	    NODE "smb1 = x\nhealth {\n rise = 0 }\n"
	    "interfaces \"lan {\n address \"10.0.0.1\" { }\n}\n",
	    { { 2, "smb1" }, { 4, "rise" }, { 5, "missing closing quote" } } },
	{ "a string of two lines", NODE "smb1 = \"al\\\nlow\"\n",
	    { { 2, "missing closing quote" }, { 3, "missing closing quote" } } },
	{ "a backslash at the end", NODE "smb1 = \"x\\", { { 2, "missing closing quote" } } },
	{ "a wrong escape", NODE "smb1 = \"\\999\"\ngmac = x\n",
	    { { 2, "bad escape sequence '\\999'" }, { 3, "gmac" } } },
	{ "an octal number too large", NODE "smb1 = \"\\777\"\ngmac = x\n",
	    { { 2, "invalid octal number" }, { 3, "gmac" } } },
	{ "bytes that are no text", NODE "\x01\x02\xff = 1\nsmb1 = x\n",
	    { { 2, "no such option '??\xff'" }, { 3, "smb1" } } },
	{ "an escaped newline in a value", NODE "smb1 = \"a\\nb\"\n",
	    { { 2, "smb1: \"a?b\" is not" } } },
	{ "the environment",
	    NODE "smb1 = \"${SMBGATE_T_BAD}\"\ngmac = ${SMBGATE_T_BAD}\nunkeyed = x\n",
	    { { 2, "smb1: \"a\"b}\" is not" }, { 3, "gmac: \"a\"b}\"" }, { 4, "unkeyed" } } },
	{ "a variable that does not end", NODE "smb1 = \"${HOME\"\ngmac = x\n\n}",
	    { { 2, "missing closing quote" }, { 3, "gmac" }, { 5, "unexpected closing brace" } } },
	{ "a variable without quotes that does not end", NODE "smb1 = ${HOME\ngmac = x\n",
	    { { 2, "missing closing brace: \"${\" must end on" }, { 3, "gmac" } } },
	{ "a variable that is not set",
	    NODE "smb1 = \"${SMBGATE_T_NONE}\"\ngmac = ${SMBGATE_T_NONE}\nunkeyed = x\n",
	    { { 2, "the environment has no variable SMBGATE_T_NONE: set it where" },
	        { 3, "the environment has no variable SMBGATE_T_NONE" }, { 4, "unkeyed" } } },
	{ "two variables in one text", NODE "smb1 = \"a${SMBGATE_T_NONE:-}b${SMBGATE_T_NO}\"\n",
	    { { 2, "no variable SMBGATE_T_NO:" } } },
	{ "typographic quotation marks",
	    "node \xe2\x80\x9cn1\xe2\x80\x9d { address = \xe2\x80\x9e" "10.0.0.1\xe2\x80\x9c }\n"
	    "smb1 = \xe2\x80\x98" "allow\xe2\x80\x99\ngmac = x\n",
	    { { 1, "a typographic quotation mark: it must be a plain \"" },
	        { 2, "a typographic quotation mark: it must be a plain '" }, { 3, "gmac" } } },
	{ "a no-break space", NODE "smb1\xc2\xa0= allow\ngmac = x\n",
	    { { 2, "a no-break space" }, { 3, "gmac" } } },
	{ "lines that end in CR alone", NODE "# all of it\rsmb1 = allow\rgmac = x\r",
	    { { 2, "a line ends in CR alone" } } },
	{ "a mistyped option", NODE "zzz { rise = 2 }\nhealth { rice = 2 }\n",
	    { { 2, "no such option 'zzz'" }, { 3, "no such option 'rice'; rise?" } } },
	{ "an option of a section, outside", NODE "weight = 2\nhealth { smb1 = allow }\n",
	    { { 2, "no such option 'weight' here: it belongs into a section \"node\"" },
	        { 3, "no such option 'smb1' here: it belongs outside all sections" } } },
	{ "a stray star", NODE "smb1 = *refuse\ngmac = x\n", { { 2, "unexpected \"*\"" }, { 3, "gmac" } } },
	{ "a stray plus", NODE "smb1 = refuse +\n", { { 2, "unexpected \"+\"" } } },
	{ "a bad prefix", NODE "addresses {\n deny = { \"10.0.0.0/33\" }\n}\n",
	    { { 3, "deny: \"10.0.0.0/33\" is not an address: \"33\" is not a length" } } },
	{ "a prefix with host bits", NODE "addresses { allow = { \"10.0.0.1/24\" } }\n",
	    { { 2, "host bits are set: for the network write \"10.0.0.0/24\", for the address "
	           "\"10.0.0.1\"" } } },
	{ "bad entries of a long list",
	    NODE "addresses {\n deny = { \"10.0.0.1\",\n \"x\",\n \"10.0.0.2\", \"y\"\n, z }\n}\n",
	    { { 4, "\"x\"" }, { 5, "\"y\"" }, { 6, "\"z\"" } } },
	{ "a list without a comma",
	    NODE "addresses {\n deny = { \"10.0.0.1\"\n \"10.0.0.2\" }\n}\nsmb1 = x\n",
	    { { 4, "unexpected token '10.0.0.2'" }, { 6, "smb1" } } },
	{ "a list twice",
	    NODE "addresses {\n deny = { \"10.0.0.1\" }\n deny = { \"10.0.0.2\" }\n}\n",
	    { { 4, "deny is already set on line 3" } } },
	{ "a list twice, in two sections",
	    NODE "addresses { deny = { \"10.0.0.1\" } }\naddresses { deny = { \"10.0.0.2\" } }\n",
	    { { 3, "deny is already set on line 2" } } },
	{ "a list made empty", NODE "addresses {\n deny = { \"10.0.0.1\" }\n deny = { }\n}\n",
	    { { 3, "deny is emptied again further down" } } },
	{ "a deny-file that is not there",
	    NODE "addresses {\n deny-file = {\n \"good\",\n \"gone\" }\n}\n",
	    { { 5, "gone: No such file or directory" } } },
	{ "a deny-file that is a directory", NODE "addresses { deny-file = { \"/\" } }\n",
	    { { 2, "deny-file /: not a regular file" } } },
	{ "a deny-file without a name", NODE "addresses { deny-file = { \"\" } }\n",
	    { { 2, "deny-file: the value is empty" } } },
	{ "interfaces twice", NODE "interfaces a { }\ninterfaces a { mode = x }\nsmb1 = x\n",
	    { { 3, "found duplicate title 'a'" }, { 4, "smb1" } } },
	{ "interfaces without a name", NODE "interfaces { }\n", { { 2, "missing title" } } },
	{ "interfaces with a strange name", NODE "interfaces \"a:b\" { }\n",
	    { { 2, "interfaces \"a:b\": a name has 1 to 63 letters" } } },
	{ "a wrong mode", IFS("mode = silent"), { { 3, "mode: \"silent\" is not announce, filter or pass" } } },
	{ "no address at all", IFS("address \"here\" { }"), { { 3, "address \"here\" is not an IPv4" } } },
	{ "multicast, IPv4", IFS("address \"239.1.1.1\" { }"), { { 3, "multicast" } } },
	{ "multicast, IPv6", IFS("address \"ff02::1\" { }"), { { 3, "multicast" } } },
	{ "an address twice", IFS("address \"10.0.0.1\" { }\naddress \"10.0.0.1\" { }"),
	    { { 4, "found duplicate title '10.0.0.1'" } } },
	{ "an address in two spellings", IFS("address \"fd00::1\" { }\naddress \"fd00:0::1\" {\n}"),
	    { { 4, "is listed twice" } } },
	{ "an address with its port", IFS("address \"10.0.0.1:445\" { }"), { { 3, "is not an IPv4" } } },
	{ "a wrong speed", IFS("address \"10.0.0.1\" {\n speed = fast\n}"), { { 4, "speed: \"fast\"" } } },
	{ "no speed", IFS("address \"10.0.0.1\" { speed = 0 }"), { { 3, "speed: 0 is out of range" } } },
	{ "a speed too large", IFS("address \"10.0.0.1\" { speed = 9999999999999999999999G }"),
	    { { 3, "is out of range" } } },
	{ "a wrong rss", IFS("address \"10.0.0.1\" { rss = 2 }"), { { 3, "rss: \"2\" is not true or false" } } },
	{ "ifindex 0", IFS("address \"10.0.0.1\" { ifindex = 0 }"), { { 3, "ifindex: 0 is out of range" } } },
	{ "ifindex too large", IFS("address \"10.0.0.1\" { ifindex = 4294967296 }"),
	    { { 3, "ifindex: 4294967296 is out of range (1 to 4294967295)" } } },
	{ "much at once",
	    "node a { adress = \"10.0.0.1\" }\n/* two\n lines */ pin-linger = 3\n"
	    "health {\n  rise = 0\n"
	    "  interval\n  fall = 0\n}\naddresses { deny-file = { gone } }\ngmac = x\n",
	    { { 1, "'adress'" }, { 3, "pin-linger" }, { 5, "rise" }, { 6, "missing equal sign" },
	        { 7, "fall" }, { 9, "gone" } } },
};

static void
test_bad(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(bads); i++) {
		struct errlist e;
		struct policy *p = load(bads[i].text, &e);

		if (p != NULL) {
			fprintf(stderr, "# %s: there is a policy\n", bads[i].name);
			failed++;
		}
		policy_unref(&p);
		failed += strncmp(bads[i].name, "much", 4) != 0 &&
		    !errors_match(&bads[i], policyfile_path, &e);
		/* More than there is room for in a row: the first of them. */
		if (strncmp(bads[i].name, "much", 4) == 0) {
			assert_int_equal(e.n, 7);
			errlist_fini(&(struct errlist){ .n = 1, .text = { e.text[--e.n] } });
			e.total--;
			failed += !errors_match(&bads[i], policyfile_path, &e);
		}
		errlist_fini(&e);
		/* Whatever state it left the scanner in, a good file is good. */
		p = load_good(full_policy);
		assert_int_equal(p->nnodes, 3);
		policy_unref(&p);
	}
	assert_int_equal(failed, 0);
}

/* Every bad file right behind every other: no state is carried over. */
static void
test_bad_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < COUNT(bads); i++) {
		for (size_t k = 0; k + 1 < COUNT(bads); k += 7) {
			struct errlist e;

			assert_null(load(bads[k].text, &e));
			errlist_fini(&e);
			assert_null(load(bads[i].text, &e));
			assert_true(errors_match(&bads[i], policyfile_path, &e));
			errlist_fini(&e);
		}
	}
}

/* A file cut off anywhere, or with any line left out, is loaded, or refused with a word. */
static void
test_cut(void **state)
{
	size_t n = strlen(full_policy), loaded = 0;

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		char *text = strndup(full_policy, i);
		struct errlist e;
		struct policy *p = load(text, &e);
		int depth = 0;

		assert_true(p != NULL ? e.total == 0 : e.total > 0);
		/* Not what ends within a section: its rest would be lost in silence. */
		for (size_t k = 0; k < i; k++)
			depth += (text[k] == '{') - (text[k] == '}');
		assert_true(p == NULL || depth == 0);
		loaded += p != NULL;
		policy_unref(&p);
		errlist_fini(&e);
		free(text);
	}
	assert_true(loaded > 10);
}

/* Any byte exchanged for one that means something: no crash, no leak, no silence. */
static void
test_mutations(void **state)
{
	static const char bytes[] = "{}\"'=\n\\/*#,$ 0\x01(";
	char *text = strdup(full_policy);
	size_t n = strlen(full_policy);

	(void)state;
	for (size_t i = 0; i < n; i += 5) {
		for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
			struct errlist e;
			struct policy *p;

			text[i] = bytes[k];
			p = load(text, &e);
			assert_true(p != NULL ? e.total == 0 : e.total > 0);
			policy_unref(&p);
			errlist_fini(&e);
		}
		text[i] = full_policy[i];
	}
	free(text);
}

/* A file that goes on and on is refused before it is compared with itself, which takes minutes. */
static void
test_endless(void **state)
{
	static const struct {
		const char *first, *word, *rest;
	} files[] = {
		{ "", "node m", " { address = x }\n" },
		{ "", "smb", " = { }\n" },
		{ "interfaces lan {\n", "address a", " { rss = x }\n" },
	};
	char *text = malloc(1u << 20);

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		size_t n = (size_t)sprintf(text, "%s", files[i].first);
		struct errlist e;
		bool said = false;

		for (int k = 0; n < (1u << 20) - 100; k++)
			n += (size_t)sprintf(text + n, "%s%d%s", files[i].word, k, files[i].rest);
		assert_null(load(text, &e));
		for (size_t k = 0; k < e.n; k++)
			said |= strstr(e.text[k], "too many braces: no more than 1024") != NULL;
		assert_true(said);
		errlist_fini(&e);
	}
	free(text);
}

static void
test_files(void **state)
{
	static const char zero[] = NODE "smb1 = all\0ow\n";
	struct errlist e = { .n = 0 };
	char name[PATH_MAX], *big;
	size_t n = (1u << 20) + 1;

	(void)state;
	file_path(name, policyfile_dir, "gone.conf");
	assert_null(schema_load(name, &e));
	assert_int_equal(e.n, 1);
	assert_non_null(strstr(e.text[0], "gone.conf: No such file or directory"));
	errlist_fini(&e);
	assert_null(schema_load(policyfile_dir, &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	assert_null(schema_load("/dev/zero", &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	file_path(name, policyfile_dir, "fifo");
	assert_int_equal(mkfifo(name, 0600), 0);
	assert_null(schema_load(name, &e));
	assert_non_null(strstr(e.text[0], "not a regular file"));
	errlist_fini(&e);
	unlink(name);
	file_write(policyfile_path, zero, sizeof(zero) - 1);
	assert_null(schema_load(policyfile_path, &e));
	assert_int_equal(e.n, 1);
	assert_non_null(strstr(e.text[0], "zero byte"));
	errlist_fini(&e);
	file_write(policyfile_path, "\xff\xfen\0o\0", 6);
	assert_null(schema_load(policyfile_path, &e));
	assert_non_null(strstr(e.text[0], "the file is UTF-16: save it as UTF-8"));
	errlist_fini(&e);

	big = malloc(n);
	assert_non_null(big);
	memset(big, '\n', n);
	memcpy(big, NODE, strlen(NODE));
	file_write(policyfile_path, big, n);
	assert_null(schema_load(policyfile_path, &e));
	assert_non_null(strstr(e.text[0], "the file is too large"));
	errlist_fini(&e);
	/* As long as may be, with an error of syntax and one of a value behind nothing at all. */
	memcpy(big + n - 14, "smb1 x\nsmb1=x", 13);
	file_write(policyfile_path, big, n - 1);
	assert_null(schema_load(policyfile_path, &e));
	assert_int_equal(e.n, 2);
	assert_non_null(strstr(e.text[0], "missing equal sign"));
	assert_non_null(strstr(e.text[1], "smb1: \"x\""));
	assert_int_equal(e.line[1], e.line[0] + 1);
	errlist_fini(&e);
	free(big);
}

static void
test_too_many(void **state)
{
	struct errlist e;
	char *text = NULL, want[64];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	/* Errors of values: all are counted. */
	for (int i = 0; i < 3 * ERRLIST_MAX; i++)
		fprintf(f, "interfaces \"l%d\" { mode = x }\n", i);
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, ERRLIST_MAX);
	assert_int_equal(e.total, 3 * ERRLIST_MAX + 1);
	errlist_fini(&e);
	free(text);

	/* Errors of syntax: no more are looked for than are kept. */
	f = open_memstream(&text, &len);
	for (int i = 0; i < 3 * ERRLIST_MAX; i++)
		fprintf(f, "o%d = 1\n", i);
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, ERRLIST_MAX);
	for (int i = 0; i < ERRLIST_MAX; i++) {
		snprintf(want, sizeof(want), ":%d: no such option 'o%d'", i + 1, i);
		assert_non_null(strstr(e.text[i], want));
	}
	errlist_fini(&e);
	free(text);

	f = open_memstream(&text, &len);
	for (int i = 0; i <= POL_NODES_MAX; i++)
		fprintf(f, "node \"n%d\" {\n address = \"10.0.%d.%d\" }\n", i, i / 250, i % 250);
	fprintf(f, "interfaces \"lan\" {\n");
	for (int i = 0; i <= POL_IFACES_MAX; i++)
		fprintf(f, "address \"10.1.0.%d\" { }\n", i);
	fprintf(f, "}\naddresses {\n deny = {\n");
	for (int i = 0; i <= ACL_RULES_MAX; i++)
		fprintf(f, "\"10.2.%d.%d\",\n", i / 256, i % 256);
	fprintf(f, "} }\n");
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 3);
	snprintf(want, sizeof(want), ":%d: too many nodes: 257, at most 256 are allowed",
	    2 * POL_NODES_MAX + 1);
	assert_non_null(strstr(e.text[0], want));
	assert_non_null(strstr(e.text[1],
	    ":580: interfaces \"lan\": too many addresses: 65, at most 64 are allowed"));
	assert_non_null(strstr(e.text[2], ":4680: deny: too many address rules: at most 4096"));
	errlist_fini(&e);
	free(text);

	/* More values than anybody has. */
	f = open_memstream(&text, &len);
	fprintf(f, NODE "addresses { deny = {\n");
	for (int i = 0; i < 20000; i++)
		fprintf(f, "10.0.0.1,\n");
	fprintf(f, "} }\n");
	fclose(f);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 2);
	errlist_fini(&e);
	free(text);
}

/* A long or hostile value does not fill the log. */
static void
test_long_value(void **state)
{
	size_t n = 100000, head = strlen(NODE "smb1 = \"");
	char *text = malloc(n + 3);
	struct errlist e;

	(void)state;
	assert_non_null(text);
	memcpy(text, NODE "smb1 = \"", head);
	memset(text + head, 'x', n - head);
	memcpy(text + n, "\"\n", 3);
	assert_null(load(text, &e));
	assert_int_equal(e.n, 1);
	assert_true(strlen(e.text[0]) < 1000);
	errlist_fini(&e);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_bad_pairs),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_long_value),
	};
	int failed;

	policyfile_begin();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	policyfile_end();
	return failed;
}
