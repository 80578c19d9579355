#!/usr/bin/env bash
#
# check-docs.sh
#     Holds the documentation against the tables in the code.
#
# usage: tools/check-docs.sh
#
# - Each key of the relay (the table in relay/config.c) stands, with its
#   default, in relay/mirusync-relay.conf.example and as `key` in docs/relay.md;
#   and neither names a key that is not there.
# - Each setting of the extension (extension/guc.c) stands as `mirusync.x` in a
#   page of docs/.
# - Each SQLSTATE of ours (extension/errors.h) stands in a page of docs/.
# - Each block of SQL in docs/merge.md stands in a test sql/merge*.sql, and each
#   block of output in what those tests expect; of docs/audit.md likewise.
# - Each relative link in a page leads to a file.
#
# SPDX-License-Identifier: PostgreSQL

set -uo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

bad=0
complain() {
	echo "$*"
	bad=1
}

# has TEXT FILE... says whether the literal text stands in one of the files.
has() {
	local text=$1
	shift
	grep -qF -- "$text" "$@" 2>/dev/null
}

# settings prints "key<TAB>default" of the relay's table.
settings() {
	awk '
		/^\t\{"[a-z_]+", SETTING_/ {
			split($0, part, "\"")
			key = part[2]
			next
		}
		key != "" {
			split($0, part, "\"")
			print key "\t" part[2]
			key = ""
		}
	' relay/config.c
}

check_relay_keys() {
	local example=relay/mirusync-relay.conf.example
	local page=docs/relay.md
	local key preset count=0

	[ -f "$page" ] || complain "$page: is missing"
	while IFS=$'\t' read -r key preset; do
		count=$((count + 1))
		# a key that must be set has an active line instead of a default
		grep -qE "^#?$key =" "$example" ||
			complain "$example: key $key is missing"
		if grep -qE "^#$key =" "$example" &&
			! grep -qxE "#$key =${preset:+ $preset}" "$example"; then
			complain "$example: the default of $key is \"$preset\""
		fi
		[ ! -f "$page" ] || has "\`$key\`" "$page" ||
			complain "$page: key $key is missing"
	done < <(settings)
	[ "$count" -ge 20 ] ||
		complain "relay/config.c: only $count keys were found in its table"

	while read -r key; do
		settings | grep -q "^$key	" ||
			complain "$example: there is no key $key"
	done < <(sed -nE 's/^#?([a-z_]+) =.*/\1/p' "$example" | sort -u)
}

check_extension_settings() {
	local name count=0

	[ -f extension/guc.c ] || return 0
	while read -r name; do
		count=$((count + 1))
		has "\`$name\`" docs/*.md || complain "docs: setting $name is missing"
	done < <(grep -ohE '"mirusync\.[a-z_]+"' extension/guc.c | tr -d '"' | sort -u)
	[ "$count" -gt 0 ] || complain "extension/guc.c: no setting was found"
}

check_sqlstates() {
	local state

	[ -f extension/errors.h ] || return 0
	while read -r state; do
		has "$state" docs/*.md ||
			complain "docs: SQLSTATE $state is missing"
	done < <(sed -nE "s/.*MAKE_SQLSTATE\('(.)', *'(.)', *'(.)', *'(.)', *'(.)'\).*/\1\2\3\4\5/p" \
		extension/errors.h | sort -u)
}

# fenced LANGUAGE PAGE prints the blocks of a page, each ended by a NUL.
fenced() {
	awk -v fence='```' -v language="$1" '
		$0 == fence language { inside = 1; next }
		inside && $0 == fence { inside = 0; printf "%c", 0; next }
		inside
	' "$2"
}

# check_examples NAME MINIMUM checks docs/NAME.md.
check_examples() {
	local page=docs/$1.md
	local script output block count=0

	script=$(cat sql/"$1"*.sql)
	output=$(cat expected/"$1"*.out)
	while IFS= read -r -d '' block; do
		count=$((count + 1))
		[[ $script == *"$block"* ]] ||
			complain "$page: not in sql/$1*.sql: ${block%%$'\n'*}"
	done < <(fenced sql "$page")
	while IFS= read -r -d '' block; do
		count=$((count + 1))
		[[ $output == *"$block"* ]] ||
			complain "$page: not in expected/$1*.out: ${block%%$'\n'*}"
	done < <(fenced text "$page")
	[ "$count" -ge "$2" ] || complain "$page: only $count examples were found"
}

check_links() {
	local page link

	for page in *.md docs/*.md docs/*/*.md extension/*.md relay/*.md tools/*.md \
		test/*.md demo/*.md; do
		[ -f "$page" ] || continue
		while read -r link; do
			[ -e "$(dirname "$page")/$link" ] ||
				complain "$page: link to $link leads nowhere"
		done < <(grep -oE '\]\([^)#: ]+' "$page" | cut -c3-)
	done
}

check_relay_keys
check_extension_settings
check_sqlstates
check_examples merge 10
check_examples audit 10
check_links
exit "$bad"
