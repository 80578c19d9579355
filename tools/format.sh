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

mode=(-i)
if [ "${1:-}" = --check ]; then
	mode=(--dry-run --Werror)
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
[ ${#files[@]} -eq 0 ] || "$formatter" "${mode[@]}" "${files[@]}"
