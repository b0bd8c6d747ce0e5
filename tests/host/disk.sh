#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Debian's own kernel in a guest with disks: what it writes is in the image and comes
# back, errors reach it as errors, and an image has one writer.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# on: amd
# long: intel debug
# timeout: 600

. tests/lib.sh
. tests/linux.sh

dd if=/dev/urandom of=/tmp/b bs=1M count=16 2>/dev/null
truncate -s 64M /tmp/a

initrd disk <<'END'
echo "job: sizes $(cat /sys/block/vda/size) $(cat /sys/block/vdb/size)"
echo "job: serial $(cat /sys/block/vda/serial)"
echo "job: ro $(cat /sys/block/vda/ro) $(cat /sys/block/vdb/ro)"
echo "job: queues $(ls /sys/block/vda/mq | wc -l)"
echo "job: cache $(cat /sys/block/vda/queue/write_cache)"
echo "job: packed $(cut -c 35 /sys/block/vda/device/features) $(cut -c 35 /sys/block/vdb/device/features)"
echo "job: msi $(grep -c 'virtio.*req' /proc/interrupts)"
echo "job: b $(md5sum </dev/vdb | cut -c 1-32)"
dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync 2>/dev/null || echo 'job: b cannot be written'

# Two writers at once, of pieces of all sizes, then all is read from the disk again.
dd if=/dev/urandom of=/data bs=64k count=512 2>/dev/null
(dd if=/data of=/dev/vda bs=1M count=16 conv=notrunc 2>/dev/null; sync) &
dd if=/data of=/dev/vda bs=7k skip=2341 seek=2341 conv=notrunc,fsync 2>/dev/null
wait
dd if=/data of=/dev/vda bs=512 skip=32760 seek=32760 count=64 oflag=direct conv=notrunc 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
echo "job: data $(md5sum </data | cut -c 1-32)"
echo "job: read $(head -c 33554432 /dev/vda | md5sum | cut -c 1-32)"
echo "job: tail $(tail -c 33554432 /dev/vda | tr -d '\0' | wc -c)"
dd if=/dev/vda of=/dev/null bs=4k count=256 iflag=direct 2>/dev/null && echo 'job: direct'
echo "job: complaints $(complaints | head -n 3)"
END
guest --mem 256M --cpus "$smp" --disk /tmp/a,serial=lamina-1 --disk /tmp/b,ro,split
is 'status' "$status" 0
like 'capacities' "$text" '^job: sizes 131072 32768$'
like 'serial number' "$text" '^job: serial lamina-1$'
like 'read-only' "$text" '^job: ro 0 1$'
like 'a queue for each CPU' "$text" "^job: queues $smp\$"
like 'the driver flushes' "$text" '^job: cache write back$'
like 'packed rings, but where they are not wanted' "$text" '^job: packed 1 0$'
like 'an interrupt for each queue' "$text" '^job: msi [1-9][0-9]*$'
like 'what is in the image is read' "$text" "^job: b $(sum - </tmp/b)\$"
like 'a read-only disk is not written' "$text" '^job: b cannot be written$'
data=$(printf '%s\n' "$text" | sed -n 's/^job: data //p')
like 'what was written is read' "$text" "^job: read ${data:-nothing}\$"
is 'and is in the image' "$(head -c 33554432 /tmp/a | sum -)" "$data"
like 'and nothing else is' "$text" '^job: tail 0$'
like 'around the cache' "$text" '^job: direct$'
like 'the guest has no complaints' "$text" '^job: complaints $'

# What was flushed is there, whatever becomes of the tool.
initrd killed <<'END'
dd if=/dev/urandom of=/data bs=64k count=128 2>/dev/null
dd if=/data of=/dev/vda bs=64k conv=fsync 2>/dev/null
echo "job: flushed $(md5sum </data | cut -c 1-32)"
while :; do dd if=/dev/zero of=/dev/vda bs=64k seek=512 count=256 2>/dev/null; done
END
start killed --mem 256M --disk /tmp/a
if running killed '^job: flushed'; then
	exits 1 'an image has one writer' lamina run --kernel /guest/vmlinux --disk /tmp/a
	is 'the message says so' "$output" \
		"lamina: /tmp/a is in use by another guest: give ',ro' to both to share it"
	exits 1 'nor is it read meanwhile' lamina run --kernel /guest/vmlinux --disk /tmp/a,ro
	drop killed
	is 'what was flushed is there' "$(head -c 8388608 /tmp/a | sum -)" \
		"$(tr -d '\r' <"$work/killed.out" | sed -n 's/^job: flushed //p')"
	passes 'nobody holds the module' wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
else
	drop killed
fi

# A disk that becomes shorter: errors, and the guest goes on.
initrd shrunk <<'END'
dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null && echo 'job: before'
read -r line
dd if=/dev/vda of=/dev/null bs=64k skip=800 count=16 iflag=direct 2>/dev/null || echo 'job: no read'
dd if=/dev/zero of=/dev/vda bs=4k seek=12800 count=1 oflag=direct 2>/dev/null || echo 'job: no write'
dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null && echo 'job: still the rest'
END
start shrunk --mem 256M --disk /tmp/a
if running shrunk '^job: before'; then
	truncate -s 32M /tmp/a
	finish shrunk
	like 'a read behind the end' "$text" '^job: no read$'
	like 'a write behind the end' "$text" '^job: no write$'
	like 'the rest is there' "$text" '^job: still the rest$'
	is 'it says so once' "$(dmesg | grep -c 'the image is shorter than it was')" 1
else
	drop shrunk
fi

for bad in '' ,ro /nonexistent /dev /dev/null /tmp/a,rw /tmp/a,serial= \
	/tmp/a,serial=123456789012345678901; do
	output=$(lamina run --kernel /guest/vmlinux --disk "$bad" 2>&1 </dev/null)
	case $? in
	1|2) ok "refused: --disk '$bad'" ;;
	*) not_ok "refused: --disk '$bad'" "$output" ;;
	esac
done
is 'nothing stays pinned' "$(pinned)" 0
