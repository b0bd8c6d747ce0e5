#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module builds without a word from gcc at W=1 and from sparse, against
# each kernel there are headers for.

. tests/lib.sh

# silent NAME COMMAND...: succeeds and prints no warning
silent() {
	test_name=$1
	shift
	output=$("$@" 2>&1) || {
		not_ok "$test_name" 'it does not build'
		diag "$output"
		return
	}
	# Sparse also complains of the kernel's own inline functions.
	unlike "$test_name" "$(printf '%s\n' "$output" |
		grep -vE '^/usr/src/linux-headers-[^:]*/include/[^:]*:[0-9:]*: warning: cast truncates')" \
		'(warning|error):'
}

found=''
for kdir in /lib/modules/*/build; do
	[ -e "$kdir/Makefile" ] || continue
	found=1
	release=$(basename "$(dirname "$kdir")")
	rm -rf "build/warnings/$release"
	if command -v sparse >/dev/null; then
		silent "W=1 and sparse on $release" scripts/build-module "$kdir" \
			"build/warnings/$release" W=1 C=2 CF=-D__CHECK_ENDIAN__
	else
		silent "W=1 on $release" scripts/build-module "$kdir" \
			"build/warnings/$release" W=1
		skip "sparse on $release" 'not installed'
	fi
done
# Other kernels of Debian's.
for kernel in 6.12 7; do
	fetched=$(scripts/get-kernel "$kernel" 2>/dev/null) || {
		skip "W=1 on Linux $kernel" 'it could not be fetched'
		continue
	}
	rm -rf "build/warnings/linux-$kernel"
	silent "W=1 on Linux $kernel" scripts/build-module "$fetched/build" \
		"build/warnings/linux-$kernel" W=1 KCFLAGS=-Werror
done
[ -n "$found" ] || not_ok 'W=1' 'no kernel headers'
