#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module comes and goes, is held while a guest runs, and keeps nothing of
# guests whose owner is killed at any moment. LONG=1: many more rounds.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/guest/build/lmtest
# timeout: 600

. tests/lib.sh
. tests/linux.sh

if [ -n "${LONG:-}" ]; then
	loads=100 kills=100
else
	loads=20 kills=15
fi

lmtest=tests/guest/build/lmtest
says_hello() {
	$lmtest --no-xsave --timeout 60 hello 2>&1 | grep -q '^ok hello'
}

# kB of the kernel's memory that a leak would show in
kernel_memory() {
	# Caches of free objects and of freed directories are not leaks.
	echo 2 >/proc/sys/vm/drop_caches
	for cache in /sys/kernel/slab/*/shrink; do
		echo 1 >"$cache"
	done 2>/dev/null
	awk '/^(Slab|KernelStack|PageTables|SecPageTables|Percpu|VmallocUsed):/ { n += $2 }
		END { print n }' /proc/meminfo
}

available() {
	awk '/^MemFree:/ { print $2 }' /proc/meminfo
}

# grown NAME BEFORE AFTER LIMIT
grown() {
	if [ $(($3 - $2)) -le "$4" ]; then
		ok "$1"
	else
		not_ok "$1" "$2 kB before, $3 kB after"
	fi
}

# Load and unload.
n=0 good=0
rmmod lamina
insmod /lib/lamina.ko
before=$(kernel_memory)
while [ $n -lt $loads ]; do
	n=$((n + 1))
	says_hello && rmmod lamina && [ ! -e /dev/lamina ] &&
		[ ! -d /sys/kernel/debug/lamina ] && insmod /lib/lamina.ko &&
		good=$((good + 1))
done
is 'load, run a VM, unload' $good $loads
grown 'loading leaves no memory behind' "$before" "$(kernel_memory)" 4096

# In use.
words='lm.run=read+-r+x'
start held --mem 128M --cpus 2
if running held '^guest: up'; then
	refused=0
	for n in 1 2 3; do
		rmmod lamina 2>/dev/null || refused=$((refused + 1))
	done
	is 'rmmod is refused while a guest runs' $refused 3
	finish held
	like 'the guest has not noticed' "$status $text" 'reboot: Power down$'
	passes 'rmmod afterwards' rmmod lamina
	passes 'load again' insmod /lib/lamina.ko
else
	drop held
fi

# Killed while it starts, boots, runs, or ends. One round first that does not count.
words='lm.run=true'
round() {
	lamina run --kernel /guest/vmlinux --initrd /guest/initrd --mem 128M \
		--cpus $(($1 % 3 + 1)) --append "console=ttyS0 quiet lm.run=true" \
		</dev/null >/dev/null 2>&1 &
	pid=$!
	usleep $(($(od -An -N2 -tu2 /dev/urandom) * 60))
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
}
round 2
sleep 1
before=$(kernel_memory) free=$(available)
n=0
while [ $n -lt $kills ]; do
	n=$((n + 1))
	round $n
done
is 'no process is left' "$(pidof lamina)" ''
passes 'nobody holds the module' wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
is 'no VM is left' "$(ls /sys/kernel/debug/lamina)" ''
sleep 2
grown "kernel memory after $kills kills" "$before" "$(kernel_memory)" 4096
grown "free memory after $kills kills" "$(available)" "$free" 24576
says_hello
is 'a VM can be made' $? 0
passes 'the module can be unloaded' rmmod lamina
