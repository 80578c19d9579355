#!/usr/bin/env bash
#
# format.sh
#     Lays out the C code with clang-format 14, as .clang-format says.
#
# usage: tools/format.sh [--check] [FILE]...       (default: all C files)
#
# --check changes nothing and fails where a file is laid out otherwise.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
cd "$(dirname "$0")/.."

check=
if [ "${1:-}" = --check ]; then
	check=1
	shift
fi

# Two releases of clang-format never agree, so the one that CI has decides.
formatter=${CLANG_FORMAT:-}
if [ -z "$formatter" ]; then
	formatter=clang-format
	! command -v clang-format-14 >/dev/null 2>&1 || formatter=clang-format-14
fi

files=("$@")
if [ ${#files[@]} -eq 0 ]; then
	mapfile -t files < <(find extension relay test/unit test/fuzz \
		-name build -prune -o \( -name '*.c' -o -name '*.h' \) -print | sort)
fi

if [ -z "$check" ]; then
	[ ${#files[@]} -eq 0 ] || "$formatter" -i "${files[@]}"
	exit
fi

bad=0
for file in "${files[@]}"; do
	if ! "$formatter" --dry-run --Werror "$file" >/dev/null 2>&1; then
		echo "$file: not laid out as .clang-format says: run tools/format.sh"
		bad=1
	fi
done
exit "$bad"
