#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host panics while a guest runs, and restarts the machine as it was told to. What
# the next kernel finds is seen in kexec.sh.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# on: amd intel
# long: debug
# panic: sysrq triggered crash

. tests/lib.sh
. tests/linux.sh

[ -e /guest/vmlinux ] || kernel=/guest/vmlinuz
worker 32
start busy --mem 160M --cpus "$smp"
if running busy '^work: begun' && works busy 'a guest works'; then
	echo c >/proc/sysrq-trigger
fi
not_ok 'the panic'
