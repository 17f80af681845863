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

# packages_suite DIR SUITE: write DIR/apt.conf, with which apt knows another suite of this machine's
# archive, and nothing of what is installed here.
packages_suite() {
	local lines

	# shellcheck disable=SC2016
	lines=$(apt-get indextargets --format '$(LABEL) $(CREATED_BY) $(REPO_URI) $(COMPONENT)' |
		awk -v suite="$2" '$1 == "Debian" && $2 == "Packages" && !seen[$3 $4]++ {
			print "deb", $3, suite, $4 }')
	[ -n "$lines" ] || return 1
	mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial" || return 1
	echo "$lines" > "$1/sources.list"
	: > "$1/status"
	cat > "$1/apt.conf" << END
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$1/state";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
APT::Sandbox::User "root";
END
	apt-get -c "$1/apt.conf" update -q
}

# packages_kernel DIR [SUITE]: Debian's kernel for virtual machines, unpacked into DIR for
# t/lab/kernel.py (27 MB to fetch, 106 MB). It is not installed, for it is not this machine's. With
# another suite than this machine's (sid), that suite's, and beside it ksmbd-tools with their
# libraries, for t/lab/ksmbd.py: Debian 12's know no share with its own kernel.
packages_kernel() (
	[ ! -e "$1" ] || exit 0
	mkdir -p "$(dirname "$1")" || exit
	new=$(mktemp -d "$(realpath "$1").XXXXXX")
	trap 'rm -rf "$new"' EXIT
	conf=/dev/null tools=
	if [ -n "${2-}" ]; then
		packages_suite "$new" "$2" || exit
		conf=$new/apt.conf
		tools=$(apt-cache -c "$conf" depends --recurse --no-recommends --no-suggests \
			--no-conflicts --no-breaks --no-replaces --no-enhances ksmbd-tools |
			grep '^[a-z]')
	fi
	name=$(apt-cache -c "$conf" depends linux-image-cloud-amd64 |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
	[ -n "$name" ] || exit 1
	version=${name#linux-image-}
	# later suites have it in parts
	parts=$(apt-cache -c "$conf" depends "$name" |
		awk -v v="-$version" '$2 ~ /^linux-(base|binary|modules)-/ &&
			index($2, v) { print $2 }')
	mkdir "$new/debs" && cd "$new/debs" || exit
	# shellcheck disable=SC2086
	apt-get -c "$conf" download -q "$name" $parts $tools || exit
	for deb in *.deb; do
		dpkg-deb -x "$deb" "$new/tree" || exit
	done
	cd "$new/tree" || exit
	# where /lib is a link to it, and packages know that
	[ -d lib/modules ] || { mkdir -p lib && ln -s ../usr/lib/modules lib/; } || exit
	if [ ! -d boot ]; then
		mkdir boot || exit
		ln -s "../lib/modules/$version/vmlinuz" "boot/vmlinuz-$version" || exit
	fi
	/sbin/depmod -b . "$version" && mv "$new/tree" "$1"
)
