#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Each allocation and each copy from and to user space fails in turn, in every ioctl.
# host: --smp 2 --mem 1G
# add: tests/fault/build/lmfault
# on: debug
# timeout: 600

. tests/lib.sh

for kind in failslab fail_page_alloc fail_usercopy; do
	knobs=/sys/kernel/debug/$kind
	[ -d $knobs ] || not_ok "the kernel has $kind"
	# Without a word, and where the allocation may sleep, too.
	echo 0 >$knobs/verbose
	for knob in ignore-gfp-wait ignore-gfp-highmem; do
		[ ! -e $knobs/$knob ] || echo N >$knobs/$knob
	done
done
[ ! -e /sys/kernel/debug/fail_page_alloc/min-order ] || echo 0 >/sys/kernel/debug/fail_page_alloc/min-order

no_leaks 'before'
tests/fault/build/lmfault || :
passes 'nobody holds the module' wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
is 'no VM is left' "$(ls /sys/kernel/debug/lamina)" ''
no_leaks 'what failed leaves nothing behind'
passes 'the module goes' rmmod lamina
passes 'and comes' insmod /lib/lamina.ko
