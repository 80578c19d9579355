#!/usr/bin/env bash
#
# valgrind.sh
#     The extension's regression and isolation tests on a server under valgrind.
#
# usage: tools/valgrind.sh [test]...    (default: all)
#
# PG_CONFIG should name a server that was built with
#     ./configure --enable-cassert --enable-debug CFLAGS='-O1 -g -DUSE_VALGRIND'
# Then assertions are checked too, and each palloc'd chunk is known to valgrind;
# with the server of a distribution only whole blocks of memory are.  It takes
# half an hour.  Servers are private ones (tools/stack.mjs).
#
# What valgrind says of our library, or with it on the stack, is printed, and
# fails; what it says of the server alone is counted.  A test that fails by its
# output fails too, but for those of features the server was built without.
#
# SPDX-License-Identifier: PostgreSQL

set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp -d "${TMPDIR:-/tmp}/mirusync-valgrind-XXXXXX")
chmod 1777 "$log"
tests=("$@")
status=0

export MIRUSYNC_POSTGRES_UNDER="valgrind --quiet --leak-check=no --trace-children=no \
--track-origins=no --read-var-info=no --error-limit=no --time-stamp=no \
--suppressions=$PWD/test/valgrind/postgres.supp --log-file=$log/%p"

run() {
	node tools/stack.mjs --postgres-only --pg max_prepared_transactions=10 \
		--pg fsync=off --pg autovacuum=off -- \
		make -s installcheck PREPARED=1 "$@" || status=1
}

if [ ${#tests[@]} -gt 0 ]; then
	run ISOLATION= REGRESS="${tests[*]}"
else
	run ISOLATION=
	run REGRESS=
fi

# An error is a paragraph between lines that are empty but for the process.
errors=$(cat "$log"/* 2>/dev/null | awk '
	/^(==[0-9]+== *|)$/ { if (text != "") print_it(); text = ""; next }
	{ text = text $0 "\n" }
	function print_it() {
		if (text !~ /  (at|by) 0x/) return
		if (text ~ /mirusync\.so/) printf "%s\n", text
		else others++
	}
	END { if (text != "") print_it(); printf "%d of the server alone\n", others > "/dev/stderr" }')
rm -rf "$log"
if [ -n "$errors" ]; then
	printf '%s\n' "$errors"
	echo "valgrind: errors in mirusync"
	exit 1
fi
[ $status -eq 0 ] && echo "valgrind: ok"
exit $status
