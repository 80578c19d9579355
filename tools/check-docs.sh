#!/usr/bin/env bash
#
# check-docs.sh
#     Holds the documentation against the tables in the code.
#
# usage: tools/check-docs.sh
#
# - Each key of the relay (the table in relay/config.c) stands, with its
#   default, in relay/mirusync-relay.conf.example and in the man page, and as
#   `key` in docs/relay.md; and none names a key that is not there.  Those that
#   SIGHUP takes (relay/reload.c) are marked in the man page and stand in the
#   list in docs/relay.md.
# - The man pages are clean for mandoc, and the unit is for systemd, where there
#   are such programs.
# - Each setting of the extension (extension/guc.c) stands as `mirusync.x` in a
#   page of docs/.
# - Each SQLSTATE of ours (extension/errors.h) stands in a page of docs/.
# - Each block of SQL in docs/merge.md stands in a test sql/merge*.sql, and each
#   block of output in what those tests expect; of docs/audit.md likewise.
# - Each metric (relay/metrics.def) stands as `name` in docs/metrics.md, which
#   names no other; the dashboard and the alert rules under contrib/ use no
#   name and no label="value" that is not there.
# - Each line that the relay logs, but for debugging, stands as `words` key key …
#   in docs/relay.md.
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
	local man=docs/man/mirusync-relay.conf.5
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
		grep -qxF ".It Ic $key${preset:+ = $preset}" "$man" ||
			complain "$man: key $key is missing, or has another default"
	done < <(settings)
	[ "$count" -ge 20 ] ||
		complain "relay/config.c: only $count keys were found in its table"

	while read -r key; do
		settings | grep -q "^$key	" ||
			complain "$example: there is no key $key"
	done < <(sed -nE 's/^#?([a-z_]+) =.*/\1/p' "$example" | sort -u)
	while read -r key; do
		settings | grep -q "^$key	" || complain "$man: there is no key $key"
	done < <(sed -nE 's/^\.It Ic ([a-z_]+).*/\1/p' "$man")
	check_reloaded "$page" "$man"
}

# check_reloaded PAGE MAN compares what SIGHUP takes with what they say of it.
check_reloaded() {
	local taken marked listed

	taken=$(sed -nE 's/^\t"([a-z_]+)",$/\1/p' relay/reload.c | sort)
	marked=$(awk '/^\.It Ic/ { key = $3 } /^\.Em Reloaded/ { print key }' "$2" | sort)
	listed=$(sed -n '/^## Reloading/,/^The others need/p' "$1" |
		grep -v '^The others' | grep -oE '`[a-z_]+`' | tr -d '`' | sort)
	[ "$taken" = "$marked" ] || complain "$2: not what relay/reload.c takes"
	[ "$taken" = "$listed" ] || complain "$1: not what relay/reload.c takes"
}

# The unit is what systemd understands; the program need not be installed.
check_unit() {
	local unit=contrib/systemd/mirusync-relay.service
	local copy said

	command -v systemd-analyze >/dev/null || return 0
	copy=$(mktemp -d "${TMPDIR:-/tmp}/mirusync-unit-XXXXXX")
	sed -E 's#^(ExecStart=)[^ ]+#\1/bin/true#; /^Documentation=/d' "$unit" \
		>"$copy/mirusync-relay.service"
	said=$(systemd-analyze verify "$copy/mirusync-relay.service" 2>&1) &&
		[ -z "$said" ] || complain "$unit: $said"
	rm -rf "$copy"
}

# The man pages are what mandoc calls clean.
check_man_pages() {
	command -v mandoc >/dev/null || return 0
	mandoc -T lint -W warning docs/man/*.[15] || bad=1
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

# metrics prints the names; families prints "name label value" of each series.
metrics() {
	grep -oE '"(mirusync_relay|process)_[a-z_]+"' relay/metrics.def | tr -d '"'
}

families() {
	awk '
		match($0, /"(mirusync_relay|process)_[a-z_]+"/) {
			name = substr($0, RSTART + 1, RLENGTH - 2)
		}
		/^METRIC_SERIES/ && match($0, /[a-z]+=\\"[^\\]*/) {
			split(substr($0, RSTART, RLENGTH), part, "=\\\\\"")
			print name, part[1], part[2]
		}
	' relay/metrics.def
}

# A name as it stands in a query may have the suffix of a part of a histogram.
used_metrics() {
	grep -ohE '\b(mirusync_relay|process)_[a-z_]+' "$@" |
		sed -E 's/_seconds_(bucket|sum|count)$/_seconds/' | sort -u
}

check_metrics() {
	local page=docs/metrics.md
	local used=(contrib/grafana/*.json contrib/prometheus/*.yml)
	local name query label value count=0

	while read -r name; do
		count=$((count + 1))
		has "| \`$name\` |" "$page" || complain "$page: metric $name is missing"
	done < <(metrics)
	[ "$count" -ge 40 ] ||
		complain "relay/metrics.def: only $count metrics were found in it"
	while read -r name; do
		metrics | grep -x "$name" >/dev/null || complain "there is no metric $name"
	done < <(
		used_metrics "${used[@]}"
		grep -oE '^\| `[a-z_]+`' "$page" | tr -d '|` '
	)
	! command -v promtool >/dev/null ||
		promtool check rules contrib/prometheus/*.yml >/dev/null ||
		complain "contrib/prometheus: promtool refuses a rule"
	# name{label="value"}, in JSON with a backslash before each quote
	while read -r query; do
		name=${query%%\{*}
		while IFS='=' read -r label value; do
			[ "$label" = instance ] || [ "$label" = job ] ||
				families | grep -x "$(used_metrics <<<"$name") $label $value" >/dev/null ||
				complain "metric $name has no $label=$value"
		done < <(grep -oE '[a-z]+="[^"]*"' <<<"${query#*\{}" | tr -d '"')
	done < <(cat "${used[@]}" | tr -d '\\' |
		grep -oE '\b(mirusync_relay|process)_[a-z_]+\{[^}]*\}' | sort -u)
}

# log_lines prints "words<TAB>keys" of each line that is logged; those whose
# words are chosen when it runs are left out.
log_lines() {
	perl -0777 -ne '
		while (/\blog_(?:(?:info|warn|error)\(|limited\(\s*&\w+,\s*LOG_LEVEL_(?!DEBUG)\w+,)
				\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/gx) {
			my $text = join "", map { s/^"|"$//gr } $1 =~ /"(?:[^"\\]|\\.)*"/g;
			my @keys = $text =~ / (\w+)=/g;
			$text =~ s/ \w+=.*//s;
			print "$text\t@keys\n" unless $text =~ /%/;
		}' relay/*.c
}

check_log() {
	local words keys count=0

	while IFS=$'\t' read -r words keys; do
		count=$((count + 1))
		grep -qE "\`$words\`([^\`|]*,? or)?${keys:+ $keys}([,;|]| \||$)" docs/relay.md ||
			complain "docs/relay.md: no line \`$words\` $keys"
	done < <(log_lines)
	[ "$count" -ge 50 ] || complain "relay/*.c: only $count lines of the log were found"
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
check_man_pages
check_unit
check_sqlstates
check_examples merge 10
check_examples audit 10
check_metrics
check_log
check_links
exit "$bad"
