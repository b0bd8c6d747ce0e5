#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What every file in the repository has to look like.

. tests/lib.sh

files=$(git ls-files 2>/dev/null | grep -vE '^(LICENSE|.*.gitignore|.*\.(md|json|png))$' |
	while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
sources=$(echo "$files" | grep -E '\.(c|h|S|sh)$')
scripts=$(echo "$files" | while read -r file; do
	head -n 1 "$file" | grep -qE '^#!/bin/(busybox )?sh|^#!/usr/bin/env bash' &&
		echo "$file"
done)

[ -n "$sources" ] || {
	not_ok files 'git names no source files'
	exit
}

# none NAME LIST: LIST is empty
none() {
	if [ -z "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "$(echo "$2" | wc -l) places"
		diag "$2"
	fi
}

# Put together from halves, lest this file be found.
words="TO""DO|FIX""ME|XX""X|HA""CK"

# shellcheck disable=SC2086 # lists of file names, without blanks
{
	none 'every file names its licence' "$(grep -L SPDX-License-Identifier $files)"
	none 'no file of 1,000 lines' "$(wc -l $sources |
		awk '$2 != "total" && $1 >= 1000')"
	none 'no blanks at the end of a line' "$(grep -nE '[[:blank:]]$' $files)"
	none 'nothing left to be done' "$(grep -nwE "$words" $files)"
	none 'no BUG() in the module' "$(grep -nE '\bBUG(_ON)?\(' kmod -r)"
	none 'no version comparisons in the module' \
		"$(grep -rn LINUX_VERSION_CODE kmod)"
	# vmcb.* of one is vmcs.* of the other; docs/design-notes.md names those without a twin.
	none 'svm/ and vmx/ are twins' "$(for file in kmod/svm/*.[chS] kmod/vmx/*.[chS]; do
		echo "${file##*/}" | sed 's/^vmcb/vmcs/'
	done | sort | uniq -u | grep -vxE 'apic\.c|check\.c|host\.c')"
	none 'common code does not ask which backend it has' \
		"$(grep -rnE 'lm_backend *[!=]= ' kmod --include=*.c --include=*.h)"
	none 'scripts are executable' "$(for file in $scripts; do
		[ -x "$file" ] || echo "$file"
	done | grep -v host.d)"
	none 'scripts explain themselves' "$(for file in $scripts; do
		case $file in
		scripts/host.d/*|scripts/lib.sh) ;;
		scripts/*) "$file" --help </dev/null 2>&1 |
			grep -q '^Usage: ' || echo "$file" ;;
		esac
	done)"
	if command -v shellcheck >/dev/null; then
		none shellcheck "$(shellcheck -x -f gcc -e SC1091 $scripts)"
	else
		skip shellcheck 'not installed'
	fi
}
