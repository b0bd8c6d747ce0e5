#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The benchmark inside the emulated host: first KVM, then lamina.ko, in one boot.
# Figures are lines "= WHO NAME MODE VALUE".
# in-host.sh kvm|lamina|both all|devices

B=/bench what=${2:-all}

say() {
	sed "s/^/= $1 /"
}

peer() {
	if [ "$what" = all ]; then
		$B/lmbench --device /dev/kvm | say kvm
		$B/lmbench --device /dev/kvm --linux /guest/vmlinux | say kvm
		[ ! -x $B/qemu ] || $B/lmbench --exec boot -- $B/qemu -L $B/qemu-data \
			-machine q35,accel=kvm -cpu host -m 256 \
			-nodefaults -display none -serial stdio -no-reboot \
			-kernel /guest/vmlinuz -initrd /tmp/bench.initrd \
			-append 'console=ttyS0 quiet panic=-1' | say kvm
	fi
	if [ -x $B/qemu ]; then
		sh $B/devices.sh qemu | say kvm
		AIO=io_uring sh $B/devices.sh qemu | say kvm
	fi
}

ours() {
	if [ "$what" = all ]; then
		$B/lmbench | say lamina
		$B/lmbench --linux /guest/vmlinux | say lamina
		[ ! -x $B/qemu ] || $B/lmbench --exec boot -- /bin/lamina run --mem 256M \
			--kernel /guest/vmlinuz --initrd /tmp/bench.initrd \
			--append 'console=ttyS0 quiet panic=-1' | say lamina
	fi
	if [ -x $B/qemu ]; then
		sh $B/memory.sh
		sh $B/devices.sh lamina | say lamina
	fi
}

case $(cat /sys/class/dmi/id/product_version 2>/dev/null) in
*-[1-7].*) export LMBENCH_NO_XSAVE=1 ;;
esac
$B/lmbench --initrd /tmp/bench.initrd
echo "= info kernel - $(uname -r)"
machine=$(cat /sys/class/dmi/id/product_version 2>/dev/null)
echo "= info machine - ${machine:-Bochs}"
echo "= info guest-cpu - $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo)"
case $1 in
kvm|both) peer ;;
esac
case $1 in
lamina|both)
	rmmod "kvm_$LAMINA_HOST" kvm 2>/dev/null
	[ -d /sys/module/lamina ] || insmod /lib/lamina.ko || exit 1
	ours
	rmmod lamina
	# What the guest itself ran: counted with the switch on, as that costs.
	insmod /lib/lamina.ko count_guest=1 || exit 1
	[ "$what" != all ] || $B/lmbench --linux /guest/vmlinux | say count
	[ ! -x $B/qemu ] || sh $B/devices.sh lamina count | say count
	;;
esac
