#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# scripts/run on an emulated host: without a terminal the guest powers off by itself, on
# one somebody types at its shell.

. tests/lib.sh

cpus=amd
[ -z "${LONG:-}" ] || cpus='amd intel'
for cpu in $cpus; do
	exits 0 "$cpu: without a terminal" scripts/run --cpu "$cpu" --mem 256M
	like "$cpu: the guest says what it found" "$output" '^guest: up cpus=1 mem=2[0-9]{5}kB '
	like "$cpu: and powers off" "$output" 'reboot: Power down'

	# shellcheck disable=SC2016 # for the shell there
	exits 0 "$cpu: on a terminal" tests/user/build/ptytalk 900 'expect=guest: up' \
		'expect=# ' 'send=echo sum $((6 * 7))^M' 'expect=sum 42' 'send=poweroff -f^M' \
		'expect=reboot: Power down' -- scripts/run --cpu "$cpu" --mem 256M
done
