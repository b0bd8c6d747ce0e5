#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A guest that has to share: its owner may use less memory than the guest writes to,
# the rest is swapped, while the host compacts its memory. Then the owner is killed
# for want of memory.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# on: amd intel-no-apicv
# long: debug
# timeout: 400

. tests/lib.sh
. tests/linux.sh

[ -e /guest/vmlinux ] || kernel=/guest/vmlinuz
passes 'something to swap to' swap_on 512M

group=/sys/fs/cgroup/guest
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir $group
# Less than what the worker writes, and what else the guest needs all the time.
limit=$((28 << 20))

# number FILE [KEY]: of the group
number() {
	if [ $# -eq 1 ]; then
		cat "$group/$1"
	else
		awk -v key="$2" '$1 == key { print $2 }' "$group/$1"
	fi
}

# begin: a guest whose owner alone is in the group, from its first page on
begin() {
	echo $$ >$group/cgroup.procs
	worker 24
	start busy --mem 224M --cpus "$smp"
	for pid in $$ "${busy_holder:?}"; do
		echo "$pid" >/sys/fs/cgroup/cgroup.procs
	done
	running busy '^work: begun'
}

if begin && echo $limit >$group/memory.max && works busy 'the guest works'; then
	is 'the owner is in the group' "$(cat $group/cgroup.procs)" "${busy_pid:?}"
	for round in 1 2 3; do
		out=$(number memory.stat pgmajfault)
		echo 1 >/proc/sys/vm/compact_memory
		works busy "the guest works ($round)"
		passes "its pages came back from swap ($round)" \
			test "$(number memory.stat pgmajfault)" -gt "$out"
	done
	passes 'the limit holds' test "$(number memory.current)" -le $limit
	passes 'the rest is swapped' test "$(number memory.swap.current)" -gt $((32 << 20))
	tables=$(awk '$1 == "table_pages" { print $2 }' /sys/kernel/debug/lamina/*/vm)
	passes "its $tables nested page tables are charged to the group" \
		test "$(number memory.stat kernel)" -ge $((tables * 4096))
	is 'nobody was killed' "$(number memory.events oom_kill)" 0
	echo max >$group/memory.max
	works busy 'without a limit'
	retire busy 'the guest'
else
	drop busy
fi

if begin; then
	echo 0 >$group/memory.swap.max
	echo $((limit / 2)) >$group/memory.max
	passes 'the owner is killed' wait_for "$PATIENCE" gone "$busy_pid"
	passes 'by the lack of memory' test "$(number memory.events oom_kill)" -gt 0
	finish busy
	is 'SIGKILL' "$status" 137
else
	drop busy
fi
passes 'nobody holds the module' wait_for 60 grep -qx 0 /sys/module/lamina/refcnt
is 'nothing is left' "$(ls /sys/kernel/debug/lamina)" ''
passes 'the swap is empty' swapoff /dev/zram0
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the guests leave nothing behind'
