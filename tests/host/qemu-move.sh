#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A guest of QEMU's is saved and loaded again (savevm, loadvm), and migrates to a second QEMU,
# while two CPUs of it write memory; every page is right afterwards and the clock has not run
# backwards. Packages: qemu-system-x86 with seabios, qemu-utils.
# host: --smp 2 --mem 2G --guest-kernel --with-qemu 7.2
# add: tests/linux.sh
# add: tests/qemu.sh
# add: tests/linux/build/lmwork
# add: /usr/bin/qemu-img:/usr/bin/qemu-img
# module: dev_kvm=1
# on: amd
# timeout: 600

. tests/lib.sh
. tests/linux.sh
. tests/qemu.sh

# with NAME OPTION...: the guest with its disk
with() {
	id=$1
	shift
	linux "$id" -machine q35 -smp 2 -m 192 "$@"
}

worker 48
passes 'a disk' qemu-img create -q -f qcow2 /tmp/disk 64M
disk='-drive if=virtio,format=qcow2,file=/tmp/disk'

# Saved, and loaded into another process; then loaded back into that.
# shellcheck disable=SC2086 # several options
with one $disk
running one '^work: begun' && works one 'it works'
is 'savevm' "$(hmp one 'savevm a')" ''
like 'savevm: it is in the image' "$(qemu-img snapshot -l -U /tmp/disk)" '^[0-9]+ +a '
works one 'savevm: it works on'
drop one
# shellcheck disable=SC2086
with one $disk -loadvm a
works one 'loadvm: it works in another process'
is 'loadvm' "$(hmp one 'loadvm a')" ''
works one 'loadvm: it works again'
retire one loadvm

migrated() {
	hmp one 'info migrate' | grep -qE '^Migration status: (completed|failed)'
}

with one
running one '^work: begun' && works one 'before the migration'
with two -incoming "unix:$work/migrate"
wait_for 60 test -S "$work/migrate"
# It writes faster than an emulated host sends, so it may stand still for longer.
hmp one 'migrate_set_parameter downtime-limit 60000' >/dev/null
is 'migrate' "$(hmp one "migrate -d unix:$work/migrate")" ''
wait_for "$PATIENCE" migrated
output=$(hmp one 'info migrate')
like 'migrate: completed' "$output" '^Migration status: completed'
diag "$output"
works two 'migrate: it works there'
like 'migrate: the first stands still' "$(hmp one 'info status')" 'VM status: paused \(postmigrate\)'
drop one
retire two migrate
is 'nothing is left' "$(lamina list)" ''
