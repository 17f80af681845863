# packages.sh: which Debian packages the project's scripts need; sourced by them

# To build smbgate.
PACKAGES_BUILD="autoconf automake make gcc libc6-dev pkg-config libevent-dev libssl-dev libconfuse-dev
	uthash-dev libhiredis-dev libkrb5-dev libjansson-dev libsystemd-dev"
# To run two nodes and clients on this machine.
PACKAGES_NODES="samba smbclient util-linux mount python3"
# To run the test suite.
PACKAGES_TEST="clang libclang-rt-14-dev libcmocka-dev perl python3-pycryptodome binutils samba-testsuite
	samba-vfs-modules iproute2 nftables procps git"

# Runs as root, or through sudo; says what is wanted where neither can be.
packages_as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo > /dev/null; then
		sudo "$@"
	else
		echo "this needs root: $*" >&2
		return 1
	fi
}

# Installs those of its arguments that are missing, and nothing else; starts no services.
packages_install() {
	local missing="" p policy=/usr/sbin/policy-rc.d made="" status=0

	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] || missing="$missing $p"
	done
	[ -z "$missing" ] && return 0
	echo "# installing:$missing"
	# Debian starts what it installs; nobody asked for an smbd on port 445.
	if [ ! -e $policy ] && [ "$(id -u)" = 0 ]; then
		printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy && made=yes
	fi
	packages_as_root apt-get update -qq < /dev/null || status=$?
	# An update can fail for one source of many; the install tells whether it mattered.
	# shellcheck disable=SC2086
	packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		$missing < /dev/null > /dev/null && status=0 || status=$?
	[ -n "$made" ] && rm -f $policy
	return $status
}
