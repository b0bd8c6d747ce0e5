#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests whose file systems are on virtio disks: random operations by all ways that a file has,
# on images behind the page cache, around it, and on a block device; what was synced is there
# when the tool was killed; a host's file system that is full.
# host: --smp 2 --mem 2G --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmfsx
# add: /sbin/mke2fs:/usr/local/sbin/mke2fs
# add: /sbin/e2fsck:/usr/local/sbin/e2fsck
# on: amd
# long: intel debug
# timeout: 600

. tests/lib.sh
. tests/linux.sh

fsx=tests/linux/build/lmfsx
modprobe -a loop ext4 crc32c_generic null_blk || not_ok 'modules of the host'

# whole NAME IMAGE: its file system has no faults, once the journal is replayed
whole() {
	/usr/local/sbin/e2fsck -p "$2" >/dev/null 2>&1
	exits 0 "$1: its file system is whole" /usr/local/sbin/e2fsck -fn "$2"
}

make_fs() {
	/usr/local/sbin/mke2fs -q -F -t ext4 "$@" >/dev/null 2>&1 || not_ok "a file system on $1"
}

# Images on a file system that can do all; and a block device.
truncate -s 300M /tmp/fs
losetup /dev/loop0 /tmp/fs
make_fs /dev/loop0
mkdir -p /mnt /mnt2
mount -t ext4 /dev/loop0 /mnt
truncate -s 64M /mnt/cached /mnt/direct /tmp/device
losetup /dev/loop1 /tmp/device
for image in /mnt/cached /mnt/direct /dev/loop1; do
	make_fs $image
done

operations=250
[ "$LAMINA_HOST" != intel ] || operations=100
[ -z "$LONG" ] || operations=5000
initrd integrity $fsx <<END
modprobe -a ext4 crc32c_generic
for disk in vda vdb vdc; do
	mkdir /\$disk
	mount -t ext4 -o discard /dev/\$disk /\$disk || echo "job: cannot mount \$disk"
	(/lmfsx run /\$disk/one 1 $operations; /lmfsx run /\$disk/two 2 $operations) &
done
wait
for disk in vda vdb vdc; do
	rm /\$disk/two
	fstrim /\$disk || echo "job: no trim on \$disk"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	echo "job: \$disk \$(md5sum </\$disk/one | cut -d ' ' -f 1)"
	umount /\$disk
done
echo "job: complaints \$(complaints | head -n 3)"
END
guest --mem 256M --cpus "$smp" --disk /mnt/cached --disk /mnt/direct,direct --disk /dev/loop1,direct
is 'operations: status' "$status" 0
is 'operations: all have the result that they must' \
	"$(lines "$text" "^fsx: .*: $operations operations, [0-9]+ bytes right")" 6
[ "$(lines "$text" "^fsx: .* right")" = 6 ] || diag "$(printf '%s\n' "$text" | grep -E '^(fsx|job):')"
unlike 'operations: mounting and trimming work' "$text" '^job: (cannot|no) '
like 'operations: the guest has no complaints' "$text" '^job: complaints $'
n=0
for image in /mnt/cached /mnt/direct /dev/loop1; do
	n=$((n + 1))
	disk=$(printf 'vda vdb vdc' | cut -d ' ' -f $n)
	whole "$image" $image
	options=ro,loop
	[ ! -b $image ] || options=ro
	mount -t ext4 -o $options $image /mnt2
	is "$image: the host reads what the guest wrote" "$(md5sum </mnt2/one | cut -d ' ' -f 1)" \
		"$(printf '%s\n' "$text" | sed -n "s/^job: $disk //p")"
	umount /mnt2
done

# What was synced is there, whenever the tool is killed.
initrd log $fsx <<'END'
modprobe -a ext4 crc32c_generic
mkdir /disk
mount -t ext4 /dev/vda /disk
/lmfsx log /disk/log 7
END
for how in '' ,direct; do
	make_fs /mnt/direct
	start log --mem 192M --disk /mnt/direct$how
	running log '^fsx: synced [2-9][0-9]$' || diag "$(tail -n 5 "$work/log.out")"
	drop log
	passes "killed$how: nobody holds the module" wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
	synced=$(tr -d '\r' <"$work/log.out" | sed -n 's/^fsx: synced \([0-9]*\)$/\1/p' | tail -n 1)
	whole "killed$how" /mnt/direct
	mount -t ext4 -o loop /mnt/direct /mnt2
	exits 0 "killed$how: what was synced is there" $fsx check /mnt2/log 7 "$synced"
	diag "$output"
	umount /mnt2
done

# A host's file system that is full: errors, and the guest goes on.
mkdir -p /small
mount -t tmpfs -o size=24M tmpfs /small
truncate -s 64M /small/image
dd if=/dev/zero of=/small/filler bs=1M count=16 2>/dev/null
initrd full <<'END'
dd if=/dev/urandom of=/data bs=1M count=4 2>/dev/null
dd if=/data of=/dev/vda bs=64k conv=notrunc oflag=direct 2>/dev/null && echo 'job: before'
dd if=/dev/zero of=/dev/vda bs=64k seek=128 count=256 oflag=direct 2>&1 | sed -n 's/^dd: .*: /job: error /p'
dd if=/dev/zero of=/dev/vda bs=64k seek=512 count=256 conv=notrunc,fsync 2>&1 | sed -n 's/^dd: .*: /job: flush /p'
echo "job: reads $(cmp -n 4194304 /data /dev/vda && echo right)"
echo 'job: full'
read -r line
dd if=/data of=/dev/vda bs=64k seek=640 oflag=direct conv=notrunc 2>/dev/null && echo 'job: room again'
echo 3 >/proc/sys/vm/drop_caches
echo "job: again $(dd if=/dev/vda bs=64k skip=640 count=64 iflag=direct 2>/dev/null | cmp - /data && echo right)"
echo "job: hung $(dmesg | grep -c 'blocked for more')"
END
before=$(dmesg | grep -c 'the image answers with error -28')
start full --mem 192M --disk /small/image
if running full '^job: full'; then
	text=$(tr -d '\r' <"$work/full.out")
	like 'full: what there was room for' "$text" '^job: before$'
	like 'full: a write fails' "$text" '^job: error (I/O error|Input/output error|No space left on device)$'
	like 'full: and so does a flush of what cannot be written' "$text" '^job: flush '
	like 'full: what is there is read' "$text" '^job: reads right$'
	is 'full: one message' "$(($(dmesg | grep -c 'the image answers with error -28') - before))" 1
	passes 'full: the host has no room either' sh -c '! dd if=/dev/zero of=/small/x bs=1M count=4 2>/dev/null'
	rm -f /small/x /small/filler
	finish full
	is 'full: status' "$status" 0
	like 'full: there is room again' "$text" '^job: room again$'
	like 'full: and what is written then is read' "$text" '^job: again right$'
	like 'full: nobody hung' "$text" '^job: hung 0$'
else
	drop full
fi
umount /small
umount /mnt
losetup -d /dev/loop0
losetup -d /dev/loop1
is 'nothing stays pinned' "$(pinned)" 0
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
