#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The KUnit suites: they run when lamina.ko or lamina-*.ko is loaded, and leave
# their results in debugfs.
# on: debug
# host: --append loglevel=7
# kunit: yes
# timeout: 400

. tests/lib.sh

for module in /lib/lamina-*.ko; do
	[ ! -e "$module" ] || passes "load ${module##*/}" insmod "$module"
done

results=$(find /sys/kernel/debug/kunit -name results 2>/dev/null)
[ -n "$results" ] || not_ok suites 'no suite has run'

for file in $results; do
	suite=$(basename "$(dirname "$file")")
	# One line for each case, "ok 1 NAME", perhaps with "# SKIP WHY", and deeper
	# ones for its parameters; that of the suite as a whole says nothing more.
	cases=$(grep -E '^(    )?(not )?ok [0-9]+' "$file" |
		sed -E 's/^ *//; s/ok [0-9]+ (- )?/ok /' |
		grep -vE "^(not )?ok $suite\$" |
		sed -E "s/ok /ok $suite: /; s/^ok (.*) # SKIP ?(.*)/skip \1 - \2/")
	echo "$cases"
	# A case's log is short, and a long complaint can push its own result out.
	case $cases in
	*'not ok '*) ;;
	*) ! grep -qE 'fail:[1-9]' "$file" || not_ok "$suite" 'a case failed whose line is lost' ;;
	esac
	if grep -qE '^ *not ok|fail:[1-9]' "$file"; then
		diag "$(cat "$file")"
	fi
done

for module in /lib/lamina-*.ko; do
	[ ! -e "$module" ] || rmmod "$(basename "$module" .ko)"
done
[ ! -d /sys/module/lamina ] || passes 'unload lamina.ko' rmmod lamina
no_leaks 'the suites leave nothing behind'
