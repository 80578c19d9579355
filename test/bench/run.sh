#!/usr/bin/env bash
#
# run.sh
#     Builds the load driver and runs the benchmark.
#
# usage: test/bench/run.sh [smoke | full] [NAME ...]
#
# Takes what `make` built; `make bench-smoke` and `make bench` build it first.
# The names are those of bench.mjs, to run a part.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
cd "$(dirname "$0")"

plan=full
case ${1-} in
	smoke | --smoke) plan=smoke; shift ;;
	full | --full) shift ;;
esac

make -s PG_CONFIG="${PG_CONFIG:-pg_config}" >&2

# 2,000 sessions and more need as many open files, here and in the relay.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

exec node bench.mjs "$plan" "$@"
