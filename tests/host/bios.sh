#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# SeaBIOS in QEMU on the module boots a floppy, a disk and a CD by itself; keys typed at QEMU's
# monitor, the mouse and the screen work. Packages: qemu-system-x86 with seabios,
# grub-rescue-pc, memtest86+.
# host: --smp 2 --mem 1536M --with-qemu 7.2
# add: tests/linux.sh
# add: tests/qemu.sh
# add: tests/bios/build/boot
# add: /usr/lib/grub-rescue/grub-rescue-cdrom.iso:/iso/grub
# add: /usr/lib/memtest86+/memtest86+x64.iso:/iso/memtest
# module: dev_kvm=1
# on: amd
# long: intel
# timeout: 400

. tests/lib.sh
. tests/linux.sh
. tests/qemu.sh

# types NAME CHARACTER: press a key until the guest has said so (before it reads keys the BIOS may
# drop one)
types() {
	hmp "$1" "sendkey $2" >/dev/null
	says "$1" "^boot: key $2"
}

# moves NAME: move the mouse until the guest has said so
moves() {
	hmp "$1" 'mouse_move 10 10' >/dev/null
	says "$1" '^boot: mouse$'
}

cp tests/bios/build/boot /tmp/floppy
cp tests/bios/build/boot /tmp/disk
truncate -s 16M /tmp/disk

for machine in pc q35; do
	disk='-drive if=ide,format=raw,file=/tmp/disk' drive=80
	[ $machine = q35 ] || disk="-drive if=floppy,format=raw,file=/tmp/floppy" drive=00
	# shellcheck disable=SC2086 # several options
	qemu one -machine $machine -m 64 -vga std $disk
	if running one "^boot: from $drive"; then
		ok "$machine: boots drive $drive"
	fi
	running one '^boot: second sector' && ok "$machine: reads from it"
	passes "$machine: a key" wait_for 30 types one a
	passes "$machine: another" wait_for 30 types one z
	passes "$machine: the screen's memory" wait_for 10 shows one '^boot: second sector'
	hmp one "screendump $work/screen.ppm" >/dev/null
	like "$machine: the screen's size" "$(head -n 2 "$work/screen.ppm" | tail -n 1)" '^720 400$'
	like "$machine: red is red" "$(pixel "$work/screen.ppm" 360 200)" '^1(68|70) 0 0$'
	is "$machine: and black is black" "$(pixel "$work/screen.ppm" 700 300)" '0 0 0'
	hmp one 'sendkey m' >/dev/null
	running one '^boot: asks the mouse'
	passes "$machine: the mouse" wait_for 30 moves one
	drop one
done

qemu one -machine pc -m 64 -vga std -cdrom /iso/grub
passes 'a CD: GRUB shows itself' wait_for "$PATIENCE" shows one 'GNU GRUB +version'
hmp one 'sendkey c' >/dev/null
passes 'GRUB: its command line' wait_for 30 shows one 'grub> '
for key in e c h o spc l a m i n a ret; do
	hmp one "sendkey $key" >/dev/null
done
passes 'GRUB: a command' wait_for 30 shows one '^lamina *$'
drop one

qemu one -machine q35 -m 64 -vga std -cdrom /iso/memtest
passes 'memtest86+ shows itself' wait_for "$PATIENCE" shows one 'Memtest86\+'
passes 'memtest86+ tests' wait_for "$PATIENCE" shows one '(Pass|Test) +[0-9]+%'
diag "$(screen one)"
drop one
is 'nothing is left' "$(lamina list)" ''
