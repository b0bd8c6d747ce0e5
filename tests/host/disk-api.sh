#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The disk in the module: rings laid out by hand, right and hostile, over files and
# block devices, through the page cache and around it.
# host: --smp 2 --mem 1G
# add: tests/api/build/lmapi
# on: amd debug intel
# timeout: 400

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave

# Completes where it is asked.
if modprobe zram && echo 16M >/sys/block/zram0/disksize; then
	set -- "$@" --disk /dev/zram0 --disk direct:/dev/zram0
else
	skip zram
fi
# Completes in another thread.
truncate -s 16M /tmp/image
if modprobe loop && losetup /dev/loop0 /tmp/image; then
	set -- "$@" --disk direct:/dev/loop0
else
	skip loop
fi
# Completes in a timer's interrupt.
if modprobe null_blk queue_mode=2 irqmode=2 memory_backed=1 gb=1 nr_devices=1; then
	set -- "$@" --disk direct:/dev/nullb0
else
	skip null_blk 'not in this kernel'
fi
# A file system that refuses what it cannot do at once.
truncate -s 32M /tmp/fs
mkdir -p /mnt
if modprobe ext4 && modprobe crc32c_generic && losetup /dev/loop1 /tmp/fs && mke2fs -F -b 4096 /dev/loop1 >/dev/null &&
	mount -t ext4 /dev/loop1 /mnt && truncate -s 1M /mnt/a /mnt/b; then
	set -- "$@" --disk /mnt/a --disk direct:/mnt/b
else
	skip ext4 'not in this kernel'
fi

rounds=500
! brief || rounds=100
[ -z "${LONG:-}" ] || rounds=1000000
tests/api/build/lmapi "$@" --blk --fuzz $rounds || :

umount /mnt 2>/dev/null
# What a process leaves ends after it.
ended() {
	[ -z "$(find /sys/kernel/debug/lamina -name 'blk*')" ] && [ "$(pinned)" = 0 ]
}
wait_for 60 ended
is 'nothing stays pinned' "$(pinned)" 0
is 'no device is left' "$(find /sys/kernel/debug/lamina -name 'blk*')" ''
dmesg | grep -E 'lamina: disk' | head -n 5 | sed 's/^/# /'
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the disks leave nothing behind'
