#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What each of two idle guests with a disk and a network card costs besides its own
# memory, in KiB: the tool's process without the guest's RAM (Pss: the libraries'
# share of each; Rss: all of them), and what the kernel holds for it, its own and the
# nested page tables included. "= lamina idle-process KiB VALUE", idle-resident, idle-kernel.

set -eu
cg=/sys/fs/cgroup
[ -e $cg/cgroup.procs ] || mount -t cgroup2 none $cg
grep -qw memory $cg/cgroup.subtree_control || echo +memory >$cg/cgroup.subtree_control
mkfifo /tmp/idle.in
sleep 1000 >/tmp/idle.in &
holder=$!

# start NAME: a guest in a control group of its own
start() {
	mkdir -p "$cg/$1"
	truncate -s 16M "/tmp/$1.image"
	# shellcheck disable=SC2016
	sh -c 'echo $$ >'"$cg/$1"'/cgroup.procs
		exec lamina run --mem 256M --kernel /guest/vmlinux --initrd /guest/initrd \
			--append "console=ttyS0 quiet lm.run=echo+IDLE;sleep+1000" \
			--disk "/tmp/'"$1"'.image" --net "tap='"$1"'"' \
		</tmp/idle.in >"/tmp/$1.out" 2>&1 &
	i=0
	until grep -q IDLE "/tmp/$1.out"; do
		sleep 1
		i=$((i + 1))
		[ $i -lt 300 ] || { cat "/tmp/$1.out" >&2; exit 1; }
	done
}

modprobe -a tun vhost_net
start idle1
start idle2
sleep 3
pid=$(head -n 1 $cg/idle1/cgroup.procs)
# The guest's RAM may be split into several mappings; nothing else is as large.
awk '
	/^Size:/ { size = $2 }
	/^Pss:/ && size < 16384 { pss += $2 }
	/^Rss:/ && size < 16384 { rss += $2 }
	END { print "= lamina idle-process KiB", pss; print "= lamina idle-resident KiB", rss }' \
	"/proc/$pid/smaps"
awk '$1 == "kernel" { printf "= lamina idle-kernel KiB %d\n", $2 / 1024 }' $cg/idle1/memory.stat
kill "$pid" "$(head -n 1 $cg/idle2/cgroup.procs)" $holder
