#!/usr/bin/env bash
#
# lint.sh
#     Every check of the code that needs no server.
#
# usage: tools/lint.sh [layout|gcc|clang|cppcheck|types|size|docs]...   (default: all)
#
#   layout    clang-format agrees with every C file
#   gcc       relay and extension build without a warning with gcc
#   clang     the same with clang
#   cppcheck  finds nothing in either
#   types     TypeScript agrees with the client's JSDoc
#   size      no file over 800 lines, no function over 80 (check-size.sh)
#   docs      keys, settings, SQLSTATEs and links of the docs (check-docs.sh),
#             and what is made from relay/codes.def (codes.mjs)
#
# Builds happen in a copy of the tree, so built objects stay as they are.  All
# checks run, whatever became of the one before; prints "lint ok" at the end if
# none failed, else exits with 1.
#
# SPDX-License-Identifier: PostgreSQL

set -uo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- layout gcc clang cppcheck types size docs

PG_CONFIG=${PG_CONFIG:-pg_config}
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS CPPFLAGS LDFLAGS

work=$(mktemp -d "${TMPDIR:-/tmp}/mirusync-lint-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# build COMPILER builds both programs in a fresh copy.  The warnings go into
# the compiler's name, so that no Makefile's own flags are replaced.  What
# server headers and the flags that the server was built with bring along is
# no fault of ours.
build() {
	local compiler=$1
	local copy=$work/$compiler
	local warnings="-Wall -Wextra -Werror"
	local server="-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers"
	local bad=0

	if ! command -v "$compiler" >/dev/null; then
		echo "$compiler: not found (tools/setup.sh lint)"
		return 1
	fi
	if [ "$compiler" = clang ]; then
		server+=" -Wno-unknown-warning-option -Wno-ignored-optimization-argument"
		server+=" -Wno-unused-command-line-argument -Wno-ignored-attributes"
	fi

	mkdir "$copy"
	tar -cf - --exclude=.git --exclude=node_modules --exclude='*.o' \
		--exclude='*.so' --exclude='*.bc' --exclude='*.a' --exclude='*.d' \
		--exclude=build --exclude=mirusync-relay . | tar -xf - -C "$copy"
	make -s -k -C "$copy/relay" CC="$compiler $warnings" || bad=1
	make -s -k -C "$copy" PG_CONFIG="$PG_CONFIG" with_llvm=no \
		CC="$compiler $warnings $server" mirusync.so || bad=1
	return "$bad"
}

run_layout() {
	tools/format.sh --check
}

run_gcc() {
	build gcc
}

run_clang() {
	build clang
}

run_cppcheck() {
	local program bad=0

	for program in relay extension; do
		cppcheck -j2 --quiet --std=c11 --error-exitcode=1 --inline-suppr \
			--enable=warning,performance,portability \
			--suppressions-list=tools/cppcheck-suppressions.txt \
			--include=tools/cppcheck.h -I "$program" "$program" || bad=1
	done
	return "$bad"
}

run_types() {
	client/node_modules/.bin/tsc --noEmit -p client
}

run_size() {
	tools/check-size.sh
}

run_docs() {
	local bad=0

	tools/check-docs.sh || bad=1
	node tools/codes.mjs --check || bad=1
	return "$bad"
}

failed=()
for check; do
	case $check in
		layout | gcc | clang | cppcheck | types | size | docs) ;;
		*)
			echo "unknown check \"$check\""
			exit 2
			;;
	esac
	echo "== $check"
	"run_$check" || failed+=("$check")
done

if [ ${#failed[@]} -gt 0 ]; then
	echo "lint failed: ${failed[*]}"
	exit 1
fi
echo "lint ok"
