#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module comes and goes, is held while a guest runs, and keeps nothing of
# guests whose owner is killed at any moment.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/guest/build/lmtest
# on: amd intel
# timeout: 300

. tests/lib.sh
. tests/linux.sh

loads=100 kills=100
! brief || loads=10 kills=10

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

# What every page that was ever touched, mapped, pinned, locked or made a table must
# have been taken off again.
counters() {
	awk '/^nr_(sec_page_table_pages|mlock|unevictable|anon_transparent_hugepages|isolated_anon|swapcached) / {
			print }
		/^nr_foll_pin_(acquired|released) / { n = $2 - n }
		END { print "pinned", n }' /proc/vmstat
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
start held --mem 128M --cpus "$smp"
if running held '^guest: up'; then
	refused=0
	for n in 1 2 3; do
		rmmod lamina 2>/dev/null || refused=$((refused + 1))
	done
	is 'rmmod is refused while a guest runs' $refused 3
	exits 1 'lamina unload is refused' lamina unload
	# shellcheck disable=SC2154 # held_pid: start
	is 'it names who holds it' "$output" \
		"lamina: the module is in use by lamina (pid $held_pid): end that first"
	finish held
	like 'the guest has not noticed' "$status $text" 'reboot: Power down$'
	passes 'unload afterwards' lamina unload
	is 'it is gone' "$(ls -d /sys/module/lamina /dev/lamina 2>/dev/null)" ''
	passes 'load again' lamina load --module /lib/lamina.ko
else
	drop held
fi

# Killed while it starts, boots, runs, or ends; five at a time. One round that does
# not count comes first.
round() {
	lamina run --kernel /guest/vmlinux --initrd /guest/initrd --mem 96M \
		--cpus $(($1 % 3 + 1)) --append "console=ttyS0 quiet ${quick}lm.run=true" \
		</dev/null >/dev/null 2>&1 &
	pid=$!
	usleep $(($(od -An -N2 -tu2 /dev/urandom) * 80))
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	echo killed
}

rounds() {
	for one in 1 2 3 4 5; do
		round $one &
	done
	wait
}
rounds >/dev/null
sleep 1
before=$(kernel_memory) free=$(available) counted=$(counters)
n=0
while [ $n -lt $kills ]; do
	rounds
	n=$((n + 5))
done >$work/killed
is 'guests were killed' "$(grep -c killed $work/killed)" $kills
is 'no process is left' "$(pidof lamina)" ''
passes 'nobody holds the module' wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
is 'no VM is left' "$(ls /sys/kernel/debug/lamina)" ''
sleep 2
# What a killed process held is given back after its end.
given_back() {
	[ $((free - $(available))) -le 24576 ]
}
wait_for 60 given_back || :
grown "kernel memory after $kills kills" "$before" "$(kernel_memory)" 4096
grown "free memory after $kills kills" "$(available)" "$free" 24576
is "/proc/vmstat after $kills kills" "$(counters)" "$counted"
says_hello
is 'a VM can be made' $? 0
passes 'the module can be unloaded' rmmod lamina
