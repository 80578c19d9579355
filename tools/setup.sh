#!/usr/bin/env bash
#
# setup.sh
#     Installs what a build, a test run or the demo lacks, by package name.
#
# usage: tools/setup.sh [build] [node] [demo] [test] [client] [browser] [lint] [bench]
#
#   build     compiler, PostgreSQL with its server headers, the relay's libraries
#   node      Node.js
#   demo      node, npm, and what the client needs of npm at run time
#   test      node, npm, cmocka, Python, nginx, HAProxy and PgBouncer (the tests run them as themselves,
#             not as services), and the npm packages under test/ and client/
#   client    node, npm, and the npm packages under client/
#   browser   Chromium for the browser test
#   lint      what tools/lint.sh calls
#   bench     what the benchmark compares with: nats-server, nginx with nchan; perf
#
# Nothing is touched that is there already: without a missing package there is
# no apt, no sudo and no network.  A PostgreSQL that PG_CONFIG points to is
# taken as it is.  Packages come as root or through sudo.  The PostgreSQL
# package would start a cluster of its own, others a service; they are told not
# to, by files that are removed again afterwards.  All output is short and on standard error.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
cd "$(dirname "$0")/.."

PG_CONFIG=${PG_CONFIG:-pg_config}
[ $# -gt 0 ] || set -- build test browser lint

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

wants() {
	local group
	for group in "${GROUPS_WANTED[@]}"; do
		[ "$group" != "$1" ] || return 0
	done
	return 1
}

# Whether a server can be built against and run through PG_CONFIG.
have_postgres() {
	command -v "$PG_CONFIG" >/dev/null 2>&1 &&
		[ -f "$("$PG_CONFIG" --pgxs)" ] &&
		[ -x "$("$PG_CONFIG" --bindir)/postgres" ] &&
		[ -f "$("$PG_CONFIG" --includedir-server)/postgres.h" ]
}

have_node() {
	command -v node >/dev/null 2>&1 &&
		node -e 'process.exit(+process.versions.node.split(".")[0] >= 18 ? 0 : 1)'
}

have_client_packages() {
	[ -f client/node_modules/idb/package.json ]
}

have_package() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

GROUPS_WANTED=("$@")
for group in "${GROUPS_WANTED[@]}"; do
	case $group in
		build | node | demo | test | client | browser | lint | bench) ;;
		*) die "unknown group \"$group\" (build, node, demo, test, client, browser, lint, bench)" ;;
	esac
done

#
# What is missing
#
missing=()
need() {
	local package
	for package; do
		have_package "$package" || missing+=("$package")
	done
}

if command -v dpkg-query >/dev/null 2>&1; then
	if wants build; then
		need gcc make pkg-config libc6-dev libpq-dev libssl-dev libuv1-dev \
			libwebsockets-dev libwebsockets-evlib-uv uthash-dev
		have_postgres || missing+=(postgresql postgresql-server-dev)
	fi
	if wants node || wants demo || wants test || wants client; then
		have_node || need nodejs
	fi
	if wants test; then
		need libcmocka-dev nginx haproxy openssl pgbouncer clang
		command -v python3 >/dev/null 2>&1 || need python3
	fi
	if wants test || wants client || { wants demo && ! have_client_packages; }; then
		command -v npm >/dev/null 2>&1 || need npm
	fi
	if wants browser; then
		[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || need chromium
	fi
	if wants bench; then
		need nats-server nginx libnginx-mod-nchan openssl linux-perf
	fi
	if wants lint; then
		need clang clang-format clang-tidy cppcheck mandoc
	fi
elif ! have_postgres; then
	die "not a Debian system: install PostgreSQL with its server headers," \
		"libpq, libwebsockets with libuv, OpenSSL and uthash first (see README.md)"
fi

#
# Packages of the system
#
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >"$apt_log" 2>&1 || {
		cat "$apt_log" >&2
		die "apt-get $1 failed"
	}
}

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
		die "missing packages, and neither root nor sudo to install them: ${missing[*]}"
	fi
	apt_log=$(mktemp)
	no_cluster=
	no_start=
	cleanup() {
		rm -f "$apt_log"
		[ -z "$no_cluster" ] || as_root rm -f "$no_cluster"
		[ -z "$no_start" ] || as_root rm -f "$no_start"
	}
	trap cleanup EXIT

	say "reading package lists"
	apt update

	# The server headers are packaged per major: those of the default one.
	for i in "${!missing[@]}"; do
		if [ "${missing[$i]}" = postgresql-server-dev ]; then
			major=$(apt-cache depends postgresql |
				sed -n 's/.*Depends: postgresql-\([0-9]\+\)$/\1/p' | head -n 1)
			missing[$i]=postgresql-server-dev-${major:-15}
		fi
	done

	# Our tests start private servers; a machine-wide one is nobody's wish.
	if ! have_package postgresql-common; then
		no_cluster=/etc/postgresql-common/createcluster.d/mirusync-setup.conf
		as_root mkdir -p "$(dirname "$no_cluster")"
		echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
	fi

	# Nor is any of their services.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		no_start=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_start" >/dev/null
		as_root chmod 755 "$no_start"
	fi

	say "installing ${missing[*]}"
	apt install --no-install-recommends -y "${missing[@]}"
	cleanup
	trap - EXIT
fi

#
# npm packages of the tests and of the client
#
install_packages() {
	local dir=$1 npm_log
	shift

	[ $# -gt 0 ] || ! [ "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ] || return 0
	say "npm packages for $dir/"
	npm_log=$(mktemp)
	if ! (cd "$dir" && npm ci --no-progress "$@" >"$npm_log" 2>&1); then
		cat "$npm_log" >&2
		rm -f "$npm_log"
		die "npm ci failed in $dir/"
	fi
	rm -f "$npm_log"
	touch "$dir/node_modules/.package-lock.json"
}

if wants test; then
	install_packages test
fi
if wants test || wants client; then
	install_packages client
elif wants demo && ! have_client_packages; then
	install_packages client --omit=dev
	# Not all of them: who wants the rest is to find it missing.
	touch -d @0 client/node_modules/.package-lock.json
fi
