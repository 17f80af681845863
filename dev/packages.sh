# packages.sh: the Debian packages that the project's scripts need; they source it
# shellcheck shell=bash disable=SC2034

# To build smbgate.
PACKAGES_BUILD="autoconf automake make gcc libc6-dev pkg-config libevent-dev libssl-dev
	libconfuse-dev uthash-dev libhiredis-dev libkrb5-dev libjansson-dev libsystemd-dev
	libseccomp-dev libcap-dev lowdown"
# To run two nodes, and clients, on this machine.
PACKAGES_NODES="samba smbclient python3 mount util-linux"
# To run the test suite: a second compiler, unit tests, prove, smbtorture, what t/lab imports,
# networks and NAT made by tests, what makes packages and reads manifests, a KDC, a domain, a
# cluster, packet captures and their decoder, other clients, Redis and Sentinel, a load balancer in
# front of smbgate, a machine with a kernel of its own (see packages_kernel), promtool (prometheus).
PACKAGES_TEST="clang libclang-rt-14-dev libcmocka-dev perl samba-testsuite samba-vfs-modules
	python3-pycryptodome python3-cryptography iproute2 procps binutils git krb5-kdc
	krb5-admin-server krb5-user samba-dsdb-modules samba-ad-provision python3-samba winbind
	libnss-winbind ctdb tcpdump tshark systemd valgrind nftables curl python3-impacket
	redis-server redis-sentinel haproxy keepalived wireguard-tools wireguard-go qemu-system-x86
	busybox-static kmod prometheus mandoc man-db debhelper dh-apparmor apparmor rpm
	python3-yaml python3-jinja2 zsh"
# What dev/lint runs.
PACKAGES_LINT="clang-format clang-tidy cppcheck shellcheck codespell lua5.1 pyflakes3 git"

# packages_missing NAME...: print those that are not installed, one per line.
packages_missing() {
	local p

	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$p" 2> /dev/null | grep -qx installed ||
			echo "$p"
	done
}

# Run as root, or through sudo; packages_install has checked that one of them is possible.
packages_as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Runs in a subshell, because of its traps. Debian starts the services that it installs. Nobody
# asked for an smbd on port 445, so a policy-rc.d forbids that meanwhile, unless the machine has its
# own.
packages_apt() (
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'packages_as_root rm -f $policy' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM HUP
		printf '#!/bin/sh\nexit 101\n' | packages_as_root tee $policy > /dev/null
		packages_as_root chmod 755 $policy
	fi
	# An update may fail for one source of many; the installation shows whether that mattered.
	packages_as_root apt-get update -q || true
	packages_as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends "$@"
)

# packages_install NAME...: install those that are missing, and nothing else; start no services.
packages_install() {
	local missing log

	if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
		echo "apt-get not found: use --no-install, and install what is in these:" >&2
		echo "$*" >&2
		return 1
	fi
	missing=$(packages_missing "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
		echo "packages are missing; as root, run:" >&2
		echo "apt-get install --no-install-recommends $missing" >&2
		return 1
	fi
	echo "# installing: $missing"
	log=$(mktemp)
	# shellcheck disable=SC2086
	packages_apt $missing < /dev/null > "$log" 2>&1 || true
	missing=$(packages_missing "$@" | tr '\n' ' ')
	if [ -n "$missing" ]; then
		tail -n 30 "$log" >&2
		echo "installation failed: $missing(see $log)" >&2
		return 1
	fi
	rm -f "$log"
}

# packages_kernel DIR: Debian's kernel for virtual machines, unpacked into DIR for t/lab/kernel.py
# (27 MB to fetch, 106 MB). It is not installed, for it is not this machine's.
packages_kernel() (
	[ ! -e "$1" ] || exit 0
	name=$(apt-cache depends linux-image-cloud-amd64 |
		awk '$1 == "Depends:" { print $2; exit }')
	[ -n "$name" ] || exit 1
	new=$(mktemp -d "$1.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cd "$new" || exit
	apt-get download -q "$name" && dpkg-deb -x "$name"_*.deb tree || exit
	/sbin/depmod -b tree "${name#linux-image-}" && mv tree "$1"
)
