#!/usr/bin/env bash
#
# check.sh
#     Runs every suite and counts every single test.
#
# usage: tools/check.sh [unit|fuzz|client|regress|isolation|upgrade|e2e]...    (default: all)
#        tools/check.sh asan | long
#
# `make check` comes here after tools/setup.sh and a build; `make check-long` with
# "long": the relay under sanitizers, faults under load, ten thousand sessions, and fuzzing for longer.  Every suite is run,
# whatever became of the one before.  The last line is "N passed, N failed";
# the exit status is 1 if a test failed, if a suite ended badly without naming
# a test, or if a suite ran none.  Servers are private ones (tools/stack.mjs).
#
# SPDX-License-Identifier: PostgreSQL

set -uo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- unit fuzz client regress isolation upgrade e2e

# What `make PORT=... check` exports must not reach the makes that we run.
unset MAKEFLAGS MFLAGS MAKELEVEL PORT JWT_SECRET

work=$(mktemp -d "${TMPDIR:-/tmp}/mirusync-check-XXXXXX") || exit 1
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

total_passed=0
total_failed=0

# report SUITE STATUS PASSED FAILED adds up what became of a suite.
report() {
	local suite=$1 status=$2 passed=${3:-0} failed=${4:-0}

	if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
		echo "$suite: no test ran"
		failed=1
	elif [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		echo "$suite: ended with status $status"
		failed=1
	fi
	echo "== $suite: $passed passed, $failed failed (${SECONDS} s)"
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
}

# begin SUITE starts its clock and says so.
begin() {
	echo
	echo "== $1"
	SECONDS=0
}

# sum PATTERN FILE adds the first number of every line that matches.
sum() {
	grep -E "$1" "$2" | grep -oE '[0-9]+ test' | awk '{ n += $1 } END { print n + 0 }'
}

# count PATTERN FILE counts lines.
count() {
	grep -cE "$1" "$2"
}

run_unit() {
	begin unit
	make -s -k -C test/unit check 2>&1 | tee "$work/unit"
	report unit "$?" "$(sum '^\[  PASSED  \] [0-9]+ test' "$work/unit")" \
		"$(sum '^\[  FAILED  \] [0-9]+ test' "$work/unit")"
}

# A second for each target: enough to see that the corpus still passes.
run_fuzz() {
	begin fuzz
	make -s -k -C test/fuzz -j"$(nproc)" SECONDS="${1:-1}" 2>"$work/fuzz.err" | tee "$work/fuzz"
	local status=${PIPESTATUS[0]}
	local targets
	targets=$(make -s -C test/fuzz list | wc -w)
	local passed
	passed=$(count '^fuzz .*: ok' "$work/fuzz")
	[ "$status" -eq 0 ] || grep -vE '^INFO' "$work/fuzz.err" | tail -n 40
	report fuzz "$status" "$passed" "$((targets - passed))"
}

# Both kinds of pg_regress output: "test hlc ... ok" up to 15, TAP from 16 on.
run_pg_regress() {
	local suite=$1 diffs=$2
	shift 2

	begin "$suite"
	rm -f "$diffs"
	node tools/stack.mjs --postgres-only --pg max_prepared_transactions=10 -- \
		make -s installcheck PREPARED=1 "$@" 2>&1 |
		tee "$work/$suite"
	local status=$?
	[ ! -s "$diffs" ] || cat "$diffs"
	report "$suite" "$status" \
		"$(count '^(test )? *[^ ]+ +\.\.\. ok|^ok [0-9]' "$work/$suite")" \
		"$(count '^(test )? *[^ ]+ +\.\.\. FAILED|^not ok [0-9]' "$work/$suite")"
}

run_regress() {
	run_pg_regress regress regression.diffs ISOLATION=
}

run_isolation() {
	run_pg_regress isolation test/isolation/regression.diffs REGRESS=
}

# run_node SUITE [DIRECTORY [NAME [AT_ONCE]]] runs Node's tests in it, some files at once.
run_node() {
	local suite=$1 directory=${2:-test/$1} name=${3:-*} at_once=${4:-1}
	begin "$suite"
	node --test "--test-concurrency=$at_once" --test-reporter=spec --test-reporter-destination=stdout \
		--test-reporter=tap --test-reporter-destination="$work/$suite" \
		"$directory"/$name.test.mjs
	local status=$?
	local field
	for field in pass fail cancelled; do
		eval "local $field=\$(sed -n 's/^# $field \([0-9]*\)/\1/p' \"\$work/$suite\" | tail -n 1)"
	done
	report "$suite" "$status" "${pass:-0}" "$((${fail:-0} + ${cancelled:-0}))"
}

run_client() {
	run_node client client/test
}

run_upgrade() {
	run_node upgrade
}

# Each file has servers of its own, and waits for them most of the time.
run_e2e() {
	run_node e2e test/e2e '*' 2
}


# The relay built with sanitizers, in the tests that do not measure memory or
# time.  An error of theirs ends the relay, and so the test.
ASAN_TESTS="access ask auth auth_keys auth_revoke auth_sources batching bounds catchup
	conformance drain hibernation native native_auth native_http order proxy
	relays reload restart tls"

run_asan() {
	local test passed=0 failed=0
	begin asan
	mkdir "$work/asan"
	cp -r relay mirusync.control "$work/asan/"
	if ! { make -s -C "$work/asan/relay" clean &&
		make -s -C "$work/asan/relay" "-j$(nproc)" SANITIZE=address,undefined \
			CFLAGS="-O1 -g -fno-sanitize-recover=all"; }; then
		report asan 1 0 1
		return
	fi
	for test in $ASAN_TESTS; do
		if MIRUSYNC_RELAY=$work/asan/relay/mirusync-relay timeout 300 \
			node --test --test-reporter=spec "test/e2e/$test.test.mjs" >"$work/asan.log" 2>&1; then
			echo "$test: ok"
			passed=$((passed + 1))
		else
			cat "$work/asan.log"
			failed=$((failed + 1))
		fi
	done
	report asan 0 "$passed" "$failed"
}

run_long() {
	run_asan
	run_fuzz "${MIRUSYNC_FUZZ_SECONDS:-60}"
	export MIRUSYNC_FUZZ_MESSAGES=${MIRUSYNC_FUZZ_MESSAGES:-50000}
	run_node long test/e2e/long
	run_node long-push test/e2e fuzz_push
}

# One installation for all suites, so that they test the same thing.
if ! node --input-type=module -e "
	import { makeStage } from './tools/stack.mjs'
	await makeStage(process.argv[1])" "$work/stage"; then
	echo "0 passed, 1 failed"
	exit 1
fi
export MIRUSYNC_STAGE=$work/stage

for suite; do
	case $suite in
		unit | fuzz | client | regress | isolation | upgrade | e2e | asan | long) "run_$suite" ;;
		*) echo "unknown suite \"$suite\""; total_failed=$((total_failed + 1)) ;;
	esac
done

echo
echo "$total_passed passed, $total_failed failed"
[ "$total_failed" -eq 0 ]
