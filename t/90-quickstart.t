#!/bin/bash
# 90-quickstart.t: the quick start does what it says, with and without --keep, and leaves nothing behind
set -u

src=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
# The nodes give up root for their clients: the way to the shares must be open to them.
chmod 755 "$out"
n=0 failed=0

ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=$((failed + 1))
		sed "s/^/# /" "$out/log"
		: > "$out/log"
	fi
}

has() {
	grep -qE "$1" "$out/log"
	ok $? "$2"
}

# Processes whose command line names the quick start's directory.
left() {
	pgrep -f "smbgate-quickstart\.[A-Za-z0-9]{6}" | grep -cv "^$$\$"
}

if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP the quick start needs root for its private copies of passwd and group"
	exit 0
fi
export TMPDIR=$out
"$src/contrib/quickstart" > "$out/log" 2>&1 < /dev/null
ok $? "the quick start ends well"
has "16 MiB there and back: identical" "a file went through it both ways"
has "n1 +up " "node n1 is up"
has "n2 +up " "node n2 is up"
has "announced list: 10\.1\.0\.5$" "a client was told what the policy announces, and nothing else"
ls -d "$out"/smbgate-quickstart.* > /dev/null 2>&1
ok $((! $?)) "its directory is gone"
[ "$(left)" = 0 ]
ok $? "its processes are gone"

"$src/contrib/quickstart" --keep > "$out/log" 2>&1 < /dev/null
ok $? "--keep: it ends well"
connect=$(sed -n 's/^ *connect *//p' "$out/log")
stop=$(sed -n 's/^ *stop *//p' "$out/log")
$connect -c ls > "$out/ls" 2>&1
ok $? "--keep: the command that it prints connects"
"$stop"
ok $? "--keep: the stop script ends well"
[ "$(left)" = 0 ]
ok $? "--keep: its processes are gone"
ls -d "$out"/smbgate-quickstart.* > /dev/null 2>&1
ok $((! $?)) "--keep: its directory is gone"
"$src/contrib/quickstart" --nonsense > "$out/log" 2>&1
ok $((! $?)) "an unknown option is refused"
rm -rf "$out"
echo "1..$n"
[ $failed = 0 ]
