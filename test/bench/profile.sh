#!/usr/bin/env bash
#
# profile.sh
#     Where the time of T goes: runs it under perf and prints tables.
#
# usage: test/bench/profile.sh [events | native] [WORKLOAD]
#
# WORKLOAD is one of bench.mjs's, "closed" (T) by default.  Samples the relay and
# all processes of Postgres for PROFILE_SECONDS (10) in the middle of it.
# PROFILE_KEEP names a file for perf's data, PROFILE_ROWS says how long the tables
# are.  Functions of the server that are not exported, and the kernel's where it may not
# be looked at, have no names.  perf needs to be root, or kernel.perf_event_paranoid
# to allow it.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
cd "$(dirname "$0")"

words=${1:-events}
workload=${2:-closed}
seconds=${PROFILE_SECONDS:-10}
rows=${PROFILE_ROWS:-24}
work=$(mktemp -d "${TMPDIR:-/tmp}/mirusync-profile-XXXXXX")
bench=

cleanup() {
	if [ -n "$bench" ]; then
		kill "$bench" 2>/dev/null || true
		wait "$bench" || true
	fi
	[ -z "${PROFILE_KEEP-}" ] || cp "$work/data" "$PROFILE_KEEP"
	rm -rf "$work"
}
trap cleanup EXIT

# said waits until the benchmark has said something, and prints the line.
said() {
	local i
	for ((i = 0; i < 600; i++)); do
		grep -m 1 -- "$1" "$work/log" && return
		kill -0 "$bench" 2>/dev/null || break
		sleep 0.1
	done
	cat "$work/log" >&2
	exit 1
}

BENCH_SECONDS=$((seconds + 6)) ./run.sh smoke "$words" "$workload" >"$work/log" 2>&1 &
bench=$!
read -r relay postgres < <(said 'processes: ' | sed 's/.*relay \([0-9]*\), Postgres \([0-9]*\).*/\1 \2/')
said "$workload: $words" >/dev/null
sleep 3
pids=$relay,$postgres,$(tr ' ' ',' <"/proc/$postgres/task/$postgres/children")
perf record -q -g -F 499 -o "$work/data" -p "${pids%,}" -- sleep "$seconds" 2>"$work/perf.log" || {
	cat "$work/perf.log" >&2
	exit 1
}

# table PROGRAM WHAT FILTER OPTION... prints a Markdown table of its functions, of
# those lines "share object name" that the filter lets through.
table() {
	perf report -i "$work/data" --stdio -q -g none --comm "$1" --percentage relative "${@:4}" 2>/dev/null |
		sed -n 's/^ *\([0-9.]*\)% *\([^ ]*\) *\[[.k]\] \(.*[^ ]\) *$/\1 \2 \3/p' | grep -v ' 0x' | { grep -E "$3" || true; } |
		awk -v rows="$rows" -v what="$2" 'BEGIN { print "| " what " | % |\n| --- | --: |" }
			NR <= rows { share = $1; sub(/^[^ ]+ [^ ]+ /, ""); print "| `" $0 "` | " share " |" } END { print "" }'
}

# Of the server the ones that say what is done; the rest is frames above ours.
server='btinsert|_bt_first|XLogFlush|XLogInsert|heap_insert|heap_update|heap_delete|jsonb_in|CommitTransactionCommand'
server+='|SPI_execute_plan|SPI_prepare|raw_parser|(asm_)?exc_page_fault|ProcSleep|LWLockAcquire'

echo "$workload, $words: $seconds s of $(perf --version), share of the CPU time of each program"
echo
perf report -i "$work/data" --stdio -q -g none --no-children --sort comm 2>/dev/null |
	awk 'NF { print "* " $2 ": " $1 }'
echo
table postgres 'Postgres: inclusive' " mirusync.so | ($server)\$" --children -F overhead_children,dso,sym --percent-limit 2.5
table postgres 'Postgres: self' . --no-children -F overhead,dso,sym --percent-limit 0.8
table mirusync-relay 'relay: system calls, inclusive' ' __x64_sys_' --children -F overhead_children,dso,sym --percent-limit 1
table mirusync-relay 'relay: self' . --no-children -F overhead,dso,sym --percent-limit 1
