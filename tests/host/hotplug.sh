#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Devices that come and go while the guest runs: a disk that holds data, a network card,
# again and again; a guest that does not take part; wrong arguments.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# add: /sbin/ip:/usr/local/sbin/ip
# on: amd
# long: intel debug
# timeout: 900

. tests/lib.sh
. tests/linux.sh

# device GUEST ID: its line in lamina show
device() {
	lamina show "$1" | grep "^device  *$2 "
}

# descriptors PID: how many it has open
descriptors() {
	set -- "/proc/$1/fd"/*
	echo $#
}

# data PID: KiB of its memory
data() {
	awk '/^VmData/ { print $2 }' "/proc/$1/status"
}

modprobe -a tun bridge vhost_net vhost_vsock || not_ok 'modules of the host'
bridge_up 10.9.0.1/24
truncate -s 16M /tmp/a
dd if=/dev/urandom of=/tmp/b bs=1M count=8 2>/dev/null
truncate -s 4M /tmp/c

# The guest does what it reads.
initrd obey <<'END'
modprobe -a virtio_pci virtio_blk virtio_net virtio_rng
# await COMMAND...: until it succeeds
await() {
	until "$@"; do sleep 0.1; done
}
gone() {
	[ ! -e "$1" ]
}
obey
echo "job: complaints $(complaints | head -n 3)"
END

start one --mem 192M --cpus 2 --disk /tmp/a
running one '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
pid=$one_pid

# A disk.
exits 0 'attach a disk' lamina attach one disk /tmp/b,serial=second
is 'what it is called' "$output" 'disk1 at 00:02.0'
# shellcheck disable=SC2016 # for the guest
tell one 'await [ -e /dev/vdb ]; echo "job: vdb $(cat /sys/block/vdb/size /sys/block/vdb/serial | xargs) $(md5sum </dev/vdb | cut -c 1-32)"'
running one '^job: vdb' || exit
like 'the guest finds it, with its data' "$(cat "$work/one.out")" \
	"^job: vdb 16384 second $(sum - </tmp/b)"
# shellcheck disable=SC2016 # for the guest
tell one 'dd if=/dev/urandom of=/data bs=64k count=32 2>/dev/null; dd if=/data of=/dev/vdb bs=64k conv=fsync 2>/dev/null; echo "job: wrote $(md5sum </data | cut -c 1-32)"'
running one '^job: wrote'
is 'what the guest writes is in the image' \
	"$(tr -d '\r' <"$work/one.out" | sed -n 's/^job: wrote //p')" "$(head -c 2097152 /tmp/b | sum -)"
text=$(lamina show one)
diag "$text"
like 'show: the first disk' "$text" '^device +disk0 kind=disk address=00:01.0 state=running queues=2 file=/tmp/a '
like 'show: the second' "$text" '^device +disk1 kind=disk address=00:02.0 .* file=/tmp/b reads=[1-9][0-9]* writes=[1-9]'
json=$(lamina show one --json | tr -d ' \n')
like 'show: JSON' "$json" '"devices":\[{"id":"disk0","kind":"disk","address":"00:01.0","state":"running"'
like 'show: JSON has numbers' "$json" '"reads":[1-9][0-9]*,"writes":[1-9]'
refused 1 'a disk that is attached already' '^lamina: /tmp/b is in use by another guest' \
	attach one disk /tmp/b

# A network card, and a source of random numbers.
exits 0 'attach a network card' lamina attach one net tap=lmtap1,bridge=lmbr,mac=52:54:00:12:34:57
is 'what it is called' "$output" 'net0 at 00:03.0'
like 'its tap is in the bridge' "$(ip link show lmtap1)" 'master lmbr'
# shellcheck disable=SC2016 # for the guest
tell one 'await [ -e /sys/class/net/eth0 ]; ip link set eth0 up; ip addr add 10.9.0.2/24 dev eth0; ping -c 3 -w 60 10.9.0.1 >/dev/null && echo "job: card $(cat /sys/class/net/eth0/address)"'
running one '^job: card'
like 'the guest uses it' "$(cat "$work/one.out")" '^job: card 52:54:00:12:34:57'
like 'show: the card' "$(device one net0)" \
	'kind=net .*state=running queues=2 tap=lmtap1 mac=52:54:00:12:34:57 carried_by=vhost rx_packets=[1-9]'
exits 0 'attach a source of random numbers' lamina attach one rng
tell one 'await grep -q virtio_rng /sys/class/misc/hw_random/rng_available; echo "job: rng"'
running one '^job: rng'
exits 0 'attach sockets' lamina attach one vsock 77
like 'show: the sockets' "$(device one vsock0)" 'cid=77$'

# They go again.
for name in rng0 vsock0 net0; do
	exits 0 "detach $name" lamina detach one $name
	is "$name is gone" "$(device one $name)" ''
done
is 'its tap is gone' "$(ip link | grep -c lmtap)" 0
exits 0 'detach the disk' lamina detach one disk1
tell one 'await gone /dev/vdb; await gone /sys/class/net/eth0; echo "job: all gone"'
running one '^job: all gone'
is 'others can have the image' "$(lamina attach one disk /tmp/b,ro)" 'disk1 at 00:02.0'
passes 'and it goes again' lamina detach one disk1

# Again and again: nothing is left behind.
times=5
[ -z "$LONG" ] || times=100
before=$(descriptors "$pid") data=$(data "$pid") done=0
while [ $done -lt $times ]; do
	lamina attach one disk /tmp/b >"$work/name" || break
	lamina attach one net tap=lmtap1,bridge=lmbr >"$work/name" || break
	if [ $((done % 5)) = 0 ]; then
		tell one "await [ -e /dev/vdb ]; await [ -e /sys/class/net/eth0 ]; dd if=/dev/vdb of=/dev/null bs=64k count=4 2>/dev/null; echo job: round $done"
		running one "^job: round $done" || break
	fi
	lamina detach one disk1 || break
	lamina detach one net0 || break
	done=$((done + 1))
done
is "$times times" $done $times
is 'the tool has as many descriptors as before' "$(descriptors "$pid")" "$before"
# malloc() asks for 132 KiB at a time: once may be chance.
is 'and as much memory' "$(($(data "$pid") - data <= 132))" 1

# Pulled out; the guest lets go by itself; the first disk still works.
passes 'attach for being pulled out' lamina attach one disk /tmp/b
tell one 'await [ -e /dev/vdb ]; echo "job: there to be pulled"'
running one '^job: there to be pulled'
passes 'detach --force' lamina detach one disk1 --force
tell one 'await gone /dev/vdb; echo "job: pulled"'
running one '^job: pulled'
# Its place is not used before the guest has let go of it.
freed() {
	[ "$(lamina attach one disk /tmp/c)" = 'disk1 at 00:02.0' ] || {
		lamina detach one disk1
		false
	}
}
passes 'its place is used again' wait_for 30 freed
# shellcheck disable=SC2016 # for the guest
tell one 'await [ -e /dev/vdb ]; for slot in /sys/bus/pci/slots/*; do [ "$(cat $slot/address)" != "$(basename $(readlink -f /sys/block/vdb/device/..) | sed s/[.]0//)" ] || echo 0 >$slot/power; done; await gone /dev/vdb; echo "job: ejected"'
running one '^job: ejected'
is 'what the guest ejects is gone' "$(device one disk1)" ''
like 'and the tool says so' "$(cat "$work/one.out")" '^lamina: one: disk1 was ejected by its system'

# While it stands still.
lamina pause one
refused 1 'attach to a paused guest' "^lamina: one: it is paused: .*'lamina resume'" attach one rng
refused 1 'detach from a paused guest' '^lamina: one: it is paused' detach one disk0
lamina resume one
refused 1 'no such device' "^lamina: one: it has no device 'disk7': 'lamina show' names" \
	detach one disk7
refused 1 'no such file' '^lamina: cannot open /tmp/none' attach one disk /tmp/none
refused 1 'no such bridge' '^lamina: there is no bridge lmbr7' attach one net tap=lmtap1,bridge=lmbr7
refused 1 'not a file' '^lamina: /tmp is neither' attach one disk /tmp,ro
tell one ''
finish one
is 'status' "$status" 0
like 'the guest has no complaints' "$text" '^job: complaints $'

# A guest that does not know hot-plug, though it has ACPI; then one without ACPI.
words='lm.run=sh+/job acpiphp.disable=1'
start two --mem 128M --disk /tmp/a
running two '^job: ready' || exit
refused 1 'detach: the guest does nothing' \
	"^lamina: two: its system has not let go of disk0 within 2 s: .*--force two disk0' pulls" \
	detach two disk0 --timeout 2
like 'show: it was asked for' "$(device two disk0)" 'state=detaching'
passes 'it is pulled out' lamina detach two disk0 --force
is 'and gone' "$(device two disk0)" ''
tell two ''
finish two
words='lm.run=sh+/job acpi=off'
start three --mem 128M --disk /tmp/a
running three '^job: ready' || exit
refused 1 'attach: nobody listens' '^lamina: three: its system does not listen to hot-plug' \
	attach three disk /tmp/b
refused 1 'detach: nobody listens' "^lamina: three: its system .*'lamina detach --force'" \
	detach three disk0
drop three

# Pulled out while requests are under way. (What Linux 6.1 does with those that it never gets
# back is its own affair: its task may hang.) The tool, the host and the other disk are well.
words=''
start five --mem 128M --cpus 2 --disk /tmp/a --disk /tmp/b
running five '^job: ready' || exit
# shellcheck disable=SC2016 # for the guest
tell five 'for way in "if=/dev/vdb of=/dev/null iflag=direct" "if=/dev/zero of=/dev/vdb oflag=direct"; do (while dd bs=64k count=64 $way; do :; done >/dev/null 2>&1) & done; echo "job: busy"'
running five '^job: busy' || exit
busy() {
	device five disk1 | grep -qE ' reads=[0-9]{3,} writes=[0-9]{3,}'
}
passes 'requests are under way' wait_for 60 busy
passes 'pulled out with requests under way' lamina detach five disk1 --force
is 'and gone' "$(device five disk1)" ''
passes 'its image can be had again' lamina attach five disk /tmp/b
# Its /dev/vda is not what was pulled.
tell five 'dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null && echo "job: first disk"'
running five '^job: first disk' && ok 'the other disk works'
passes 'and it ends' lamina kill five
drop five
is 'nothing stays pinned' "$(pinned)" 0

# A guest that has not been started, and one that starts again, keep what was attached.
words=''
passes 'create' lamina create four --kernel /guest/vmlinux --initrd "$initrd" --mem 128M \
	--disk /tmp/a --append 'console=ttyS0 quiet lm.run=sh+/job lm.end=reboot'
is 'attach before the start' "$(lamina attach four disk /tmp/b)" 'disk1 at 00:02.0'
passes 'detach before the start' lamina detach four disk0
passes start lamina start four
peek() {
	timeout 5 lamina console four </dev/null 2>&1 | tr -d '\r' >"$work/four"
	grep -q "$1" "$work/four"
}
passes 'it runs' wait_for "$PATIENCE" peek '^job: ready'
like 'with what it was given' "$(device four disk1)" 'state=running .*file=/tmp/b'
is 'and without the other' "$(device four disk0)" ''
{ echo; sleep 2; } | timeout 5 lamina console four >/dev/null 2>&1
again() {
	peek '^job: ready' && [ "$(grep -c '^job: ready' "$work/four")" -ge 2 ]
}
passes 'it starts again' wait_for "$PATIENCE" again
like 'and still has it' "$(device four disk1)" 'file=/tmp/b'
lamina kill four

# Wrong arguments.
refused 2 'attach: no guest' 'which guest' attach
refused 2 'attach: nothing' 'what.*disk FILE' attach a
refused 2 'attach: what is that' "no kind of device 'frob'" attach a frob x
refused 2 'attach: no file' 'no file' attach a disk
refused 2 'attach: a word of a disk' "'frob' is not known" attach a disk x,frob
refused 2 'attach: no tap' 'which tap' attach a net bridge=b
refused 2 'attach: no tap at all' 'which tap' attach a net
refused 2 'attach: no address' 'not a number from 3' attach a vsock 2
refused 2 'attach: no address at all' 'which address' attach a vsock
refused 2 'attach: too much' 'too much' attach a disk x y
refused 1 'attach: no such guest' "^lamina: there is no guest 'nobody'" attach nobody disk /tmp/b
refused 2 'detach: no guest' 'which guest' detach
refused 2 'detach: no device' 'which device' detach a
refused 2 'detach: too much' 'too much' detach a b c
refused 2 'detach: timeout' 'not a number from 1 to 60' detach a b --timeout 61
refused 1 'detach: no such guest' "^lamina: there is no guest 'nobody'" detach nobody disk0
is 'no tap is left' "$(ip link | grep -c lmtap)" 0
ip link del lmbr
is 'nothing is left' "$(lamina list) $(ls /sys/kernel/debug/lamina)" ' '
