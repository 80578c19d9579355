#!/usr/bin/env bash
#
# check-size.sh
#     Keeps files below 800 lines and C functions below 80.
#
# usage: tools/check-size.sh [--write]
#
# What is larger has to stand in tools/size-ratchet.txt with its size, and may
# shrink but not grow.  An entry that is no longer needed, or larger than what
# it stands for, is an error too: --write rewrites the list from what is there.
# A function is counted from its opening to its closing brace.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

FILE_MAX=800
FUNCTION_MAX=80
ratchet=tools/size-ratchet.txt

# sources lists what people write; generated and expected files are no code.
sources() {
	local dir dirs=()

	for dir in extension relay sql test tools demo client; do
		[ ! -d "$dir" ] || dirs+=("$dir")
	done
	find "${dirs[@]}" \
		\( -name node_modules -o -name build -o -name expected \
			-o -name results -o -name corpus \) -prune -o \
		-type f \( -name '*.c' -o -name '*.h' -o -name '*.sql' -o -name '*.sh' \
			-o -name '*.js' -o -name '*.mjs' -o -name '*.html' \
			-o -name '*.css' \) ! -path 'sql/mirusync--*' -print | sort
}

# offenders prints "file what lines" for each file and function too large; the
# layout (braces of functions in column 1) makes functions easy to find.
offenders() {
	sources | while read -r file; do
		awk -v file="$file" -v file_max="$FILE_MAX" \
			-v function_max="$FUNCTION_MAX" '
			/^[A-Za-z_][A-Za-z_0-9]*\(/ {
				name = $0
				sub(/\(.*/, "", name)
			}
			/^\{/ { start = NR }
			/^\}/ {
				if (start && $0 ~ /^\}[ \t]*$/ && NR - start + 1 > function_max \
					&& file ~ /\.[ch]$/)
					print file, name, NR - start + 1
				start = 0
			}
			END { if (NR > file_max) print file, "-", NR }
		' "$file"
	done
}

if [ "${1:-}" = --write ]; then
	{
		echo "# Files over $FILE_MAX lines (-) and functions over $FUNCTION_MAX:"
		echo "# file, function, lines.  May shrink, not grow (tools/check-size.sh)."
		offenders
	} >"$ratchet.new"
	mv "$ratchet.new" "$ratchet"
	exit
fi

offenders | awk -v file_max="$FILE_MAX" -v function_max="$FUNCTION_MAX" '
	NR == FNR {
		if ($0 !~ /^#/ && NF == 3)
			allowed[$1 " " $2] = $3
		next
	}
	{
		key = $1 " " $2
		limit = $2 == "-" ? file_max : function_max
		what = $2 == "-" ? "file" : "function " $2
		seen[key] = 1
		if (!(key in allowed))
			complain($1 ": " what " has " $3 " lines, more than " limit)
		else if ($3 > allowed[key])
			complain($1 ": " what " grew from " allowed[key] " to " $3 " lines")
		else if ($3 < allowed[key])
			complain($1 ": " what " shrank to " $3 " lines: run tools/check-size.sh --write")
	}
	END {
		for (key in allowed)
			if (!(key in seen))
				complain(key ": is small now: run tools/check-size.sh --write")
		exit bad
	}
	function complain(text) {
		print text
		bad = 1
	}
' "$ratchet" -
