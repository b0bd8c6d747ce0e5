#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A balloon: what the guest gives back the host has, what it takes again it can use, free
# pages come back by themselves, and a guest that is short of memory helps itself.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# on: amd
# long: intel debug
# timeout: 600

. tests/lib.sh
. tests/linux.sh

# field GUEST KEY: of its balloon
field() {
	lamina show "$1" | sed -n "s/^device  *balloon0 .* $2=\\([0-9]*\\).*/\\1/p"
}

# below_field GUEST KEY MEBIBYTES
below_field() {
	value=$(field "$1" "$2")
	[ "$value" ] && [ $((value >> 20)) -lt "$3" ]
}

# field_is GUEST KEY MEBIBYTES
field_is() {
	[ "$(field "$1" "$2")" = $(($3 << 20)) ]
}

# resident PID: MiB of memory that it really has
resident() {
	awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$1/status"
}

# below PID MEBIBYTES
below() {
	[ "$(resident "$1")" -lt "$2" ]
}

# answer GUEST KEY: what it said last
answer() {
	tr -d '\r' <"$work/$1.out" | sed -n "s/^job: $2 //p" | tail -n 1
}

initrd obey <<'END'
# free_memory: MiB
free_memory() {
	awk '/^MemFree/ { print int($2 / 1024) }' /proc/meminfo
}
obey
echo "job: complaints $(complaints | grep -v 'Out of puff' | head -n 3)"
END

# Memory that is in use, for a disk's contents, does not come back by itself.
truncate -s 224M /tmp/disk
start one --mem 384M --balloon --disk /tmp/disk,ro
running one '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
pid=$one_pid
# shellcheck disable=SC2016 # for the guest
tell one 'cat /dev/vda >/dev/null; echo "job: before $(free_memory)"'
running one '^job: before' || exit
before=$(resident "$pid")
passes 'balloon' lamina balloon one 128M
passes 'the balloon is as large as was asked' wait_for "$PATIENCE" field_is one balloon 256
is 'show: the target' "$(field one target)" $((128 << 20))
passes 'the host has the memory' wait_for 60 below "$pid" $((before - 100))
diag "resident: $before MiB before, $(resident "$pid") MiB after"
# shellcheck disable=SC2016 # for the guest
tell one 'echo "job: after $(free_memory)"'
running one '^job: after'
is 'the guest has not' "$(($(answer one after) < 128))" 1
passes 'what the guest tells of its memory' wait_for 30 below_field one free 128

# Short of memory, it takes from the balloon.
# shellcheck disable=SC2016 # for the guest
tell one 'dd if=/dev/zero of=/dev/null bs=128M count=1 2>/dev/null; echo "job: hog $?"'
running one '^job: hog'
is 'a guest that is short of memory helps itself' "$(answer one hog)" 0
passes 'that shows' below_field one balloon 256

passes 'the memory comes back' lamina balloon one 384M
passes 'the balloon is empty' wait_for "$PATIENCE" field_is one balloon 0
# shellcheck disable=SC2016 # for the guest
tell one 'dd if=/dev/urandom of=/data bs=1M count=64 2>/dev/null; a=$(md5sum </data); cp /data /again; [ "$a" = "$(md5sum </again)" ] && echo "job: same"; rm /data /again; echo "job: used"'
running one '^job: used'
like 'and can be used' "$(cat "$work/one.out")" '^job: same'
exits 1 'more than it has' lamina balloon one 512M
like 'more than it has: why' "$output" '^lamina: one: it has not so much memory'
exits 1 'a second balloon' lamina attach one balloon
like 'a second balloon: why' "$output" '^lamina: one: it has a balloon already'
tell one ''
finish one
is 'status' "$status" 0
like 'the guest has no complaints' "$text" '^job: complaints $'

# Free pages come back by themselves, also through a balloon that was attached.
start two --mem 256M
running two '^job: ready' || exit
exits 1 'no balloon' lamina balloon two 128M
like 'no balloon: the way out' "$output" '^lamina: two: it has no balloon: .*--balloon'
is 'attach a balloon' "$(lamina attach two balloon)" 'balloon0 at 00:01.0'
exits 1 'no driver' lamina balloon two 128M
like 'no driver: why' "$output" '^lamina: two: its system has no driver for the balloon'
# shellcheck disable=SC2154 # set by start
pid=$two_pid
tell two 'dd if=/dev/zero of=/data bs=1M count=128 2>/dev/null; rm /data; echo "job: freed"'
running two '^job: freed'
before=$(resident "$pid")
tell two 'modprobe -a virtio_pci virtio_balloon; echo "job: loaded"'
running two '^job: loaded'
# Of the 128 MiB; pages that are free in smaller pieces than 2 MiB are not reported.
passes 'free memory comes back by itself' wait_for 120 below "$pid" $((before - 64))
diag "resident: $before MiB before, $(resident "$pid") MiB after, reported $(field two reported)"
passes 'and the balloon is empty' field_is two balloon 0
passes 'detach it' lamina detach two balloon0
tell two ''
finish two
like 'the second guest has no complaints' "$text" '^job: complaints $'

exits 2 'no guest' lamina balloon
exits 2 'no size' lamina balloon a
exits 2 'not a size' lamina balloon a x
exits 2 'too little' lamina balloon a 15M
exits 2 'too much' lamina balloon a 16M b
exits 1 'no such guest' lamina balloon nobody 16M
exits 2 'an argument' lamina run --kernel x --balloon=1
is 'nothing is left' "$(lamina list) $(ls /sys/kernel/debug/lamina)" ' '
