#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Disk and network inside the emulated host: a Linux guest does tests/bench/lmload.c's loads,
# one after the other, and says what each took. devices.sh qemu|lamina [count]: with count,
# what the guest itself ran meanwhile (lamina.ko has count_guest=1) and not all that ran.
# Figures are lines "NAME linux VALUE". What QEMU reads files with is $AIO (threads): with
# another, the disk's figures alone are NAME-$AIO's. The guest's console is a pair of pipes, so that
# nothing here runs, nor looks at a clock, while the guest is measured.

set -eu
B=/bench work=/tmp/devices client=$1 count=${2:-}
mkdir -p $work /mnt
cd $work

# The file is in the page cache of a file system, the null block device answers at once.
backing() {
	[ ! -e image ] || return 0
	modprobe -a loop ext4 crc32c_generic null_blk tun vhost_net
	truncate -s 160M fs
	losetup /dev/loop0 fs
	mke2fs -F -b 4096 /dev/loop0 >/dev/null 2>&1
	mount -t ext4 /dev/loop0 /mnt
	dd if=/dev/zero of=/mnt/image bs=1M count=64 2>/dev/null
	sync
	ln -s /mnt/image image
	cat image >/dev/null
	echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
}

# The last disk and card of the guest's are those that are measured.
make_initrd() {
	[ ! -e initrd ] || return 0
	mkdir -p tree
	cp $B/lmload tree/
	cat >tree/job <<-'END'
		echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
		ip link set eth0 up
		echo 'load: ready'
		while read -r line && [ "$line" ]; do $line; done
	END
	(cd tree && find . -mindepth 1 | cpio -o -H newc 2>/dev/null) >tree.cpio
	cat /guest/initrd tree.cpio >initrd
}

start() {
	rm -f in out
	mkfifo in out
	append='console=ttyS0 quiet panic=-1 lm.run=sh+/job'
	case $client in
	qemu)
		set -- $B/qemu -L $B/qemu-data -machine q35,accel=kvm -cpu host -m 256 \
			-nodefaults -display none -serial stdio -no-reboot \
			-kernel /guest/vmlinux -initrd initrd -append "$append" \
			-object iothread,id=io \
			-blockdev "driver=file,node-name=file,filename=image,aio=${AIO:-threads}" \
			-device virtio-blk-pci,drive=file,iothread=io \
			-blockdev "driver=host_device,node-name=null,filename=/dev/nullb0,cache.direct=on,aio=native" \
			-device virtio-blk-pci,drive=null,iothread=io \
			-netdev tap,id=net,ifname=lmtap,script=no,downscript=no,vhost=on \
			-device virtio-net-pci,netdev=net,romfile=
		;;
	lamina)
		set -- lamina run --mem 256M --kernel /guest/vmlinux --initrd initrd \
			--append "$append" --disk image --disk /dev/nullb0,direct --net tap=lmtap
		;;
	esac
	# Both ends are held, lest one side see the end of it.
	"$@" <>in >out 2>&1 &
	pid=$!
	exec 3<>in 4<>out
	answer ready
	ip link set lmtap up
}

# answer PATTERN: wait for the guest's line, and leave what it says in $value
answer() {
	while read -r word value <&4; do
		case "$word $value" in
		"load: "$1*)
			value=$(echo "$value" | tr -d '\r')
			return 0
			;;
		esac
		echo "$word $value" >&2
		case $value in
		*'Kernel panic'*) exit 1 ;;
		esac
	done
}

guest_tsc() {
	[ "$count" ] || return 0
	sed -n 's/^guest_tsc //p' /sys/kernel/debug/lamina/*/vcpu0
}

# measure NAME N WORD...: have the guest do a load
measure() {
	name=$1 n=$2
	shift 2
	before=$(guest_tsc)
	echo "/lmload $* $n" >&3
	answer '[0-9]'
	[ -z "$count" ] || value=$((($(guest_tsc) - before) * 10 / (n * 11)))
	echo "$name linux $value"
}

backing
make_initrd
start
measure "disk-file-1${AIO:+-$AIO}" 4000 disk /dev/vda 1
measure "disk-file-32${AIO:+-$AIO}" 4000 disk /dev/vda 32
if [ "${AIO:-}" ]; then
	echo >&3
	wait $pid
	exit
fi
measure disk-null-1 4000 disk /dev/vdb 1
measure disk-null-32 4000 disk /dev/vdb 32
measure net-packet 4000 net eth0 0
measure net-segment 2000 net eth0 1448
echo >&3
wait $pid
