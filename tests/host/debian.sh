#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A whole Debian with systemd, from a disk to a login on its console and to the network: a
# bridge with a tap that the tool makes; ping, and a file over TCP; its power button.
# host: --smp 2 --mem 1536M --guest-kernel --debian-root
# add: tests/linux.sh
# add: /sbin/ip:/usr/local/sbin/ip
# add: /sbin/bridge:/usr/local/sbin/bridge
# on: amd
# timeout: 400

. tests/lib.sh
PATIENCE=600
. tests/linux.sh

# What a terminal gets before a command's output may be on its line.
# command NAME PATTERN TEXT: type TEXT at its shell and wait for what the pattern says
command() {
	tell one "$3"
	running one "$2" || exit
	ok "$1"
}

modprobe -a tun bridge vhost_net virtio_pci virtio_blk ext4 crc32c_generic || not_ok 'modules of the host'
wait_for 10 test -b /dev/vda || not_ok 'the disk of the host'
bridge_up 10.9.0.1/24

initrd=/guest/initrd
words='lm.root=/dev/vda systemd.show_status=0'
start one --mem 384M --cpus 2 --disk /dev/vda,serial=root --net tap=lmtap1,bridge=lmbr --rng
running one '^lamina-guest login: ' || exit
ok 'a login prompt'
command 'log in' 'root@lamina-guest:~#' root
# shellcheck disable=SC2016 # for the guest
command 'a command' 'job: systemd active /dev/vda ext4' \
	'until systemctl -q is-active web; do sleep 1; done; echo "job: $(cat /proc/1/comm) $(systemctl is-active web) $(findmnt -n -o SOURCE,FSTYPE / | xargs)"'
# shellcheck disable=SC2016 # for the guest
command 'its address' 'job: e[a-z0-9]+ UP 10.9.0.5/24' 'echo "job: $(ip -4 -br addr show scope global | xargs)"'
command 'it reaches the host' 'job: host answers' \
	'ping -c 3 -w 60 10.9.0.1 >/dev/null && echo "job: host" "answers"'
passes 'it answers' ping -c 3 -w 60 10.9.0.5
# shellcheck disable=SC2016 # for the guest
command 'a file' 'job: sum [0-9a-f]+' \
	'head -c 4M /dev/urandom >/srv/data; sync; echo "job: sum $(md5sum </srv/data)"'
sum=$(tr -d '\r' <"$work/one.out" | sed -n 's/.*job: sum \([0-9a-f]\{32\}\).*/\1/p')
is 'the file, over TCP' "$(wget -q -O - http://10.9.0.5/data | md5sum | cut -d ' ' -f 1)" "$sum"

like 'as the host sees it' "$(ip -d link show lmtap1)" 'tun type tap .*vnet_hdr on'
like 'in the bridge' "$(bridge link)" 'lmtap1: .*UP.* master lmbr state forwarding'
like 'by vhost' "$(lamina show one)" '^device +net0 .*carried_by=vhost rx_packets=[1-9]'
like 'the disk in the module' "$(lamina show one)" '^device +disk0 .*reads=[1-9][0-9]* writes=[1-9]'
# The guest's RAM may be split into several mappings; nothing else is as large.
# shellcheck disable=SC2154 # set by start
own=$(awk '/^Size:/ { size = $2 } /^Rss:/ && size < 16384 { kib += $2 } END { print kib }' \
	"/proc/$one_pid/smaps")
diag "the tool's process has $own KiB"
is 'the tool keeps what it needs to run, and not what it took to start' $((own < 2048)) 1
# It writes back and unmounts what it has, and goes.
# shellcheck disable=SC2016 # for the guest
command 'a word to keep' 'job: kept' 'echo kept >/srv/kept; echo "job:" "$(cat /srv/kept)"'
passes 'its power button' lamina stop one --timeout 300
finish one
is 'its end: status' "$status" 0
mkdir -p /mnt
passes 'its file system is whole' mount -t ext4 -o ro,noload /dev/vda /mnt
is 'and has what was written last' "$(cat /mnt/srv/kept)" kept
umount /mnt
is 'nothing is left' "$(ip link | grep -c lmtap) $(lamina list) $(ls /sys/kernel/debug/lamina)" '0  '
ip link del lmbr
