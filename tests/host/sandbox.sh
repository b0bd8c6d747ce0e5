#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A guest with every kind of device while its process is shut in (--sandbox): it starts
# again, devices come and go; what its process may still do.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# add: /sbin/ip:/usr/local/sbin/ip
# add: /usr/bin/setpriv:/usr/local/sbin/setpriv
# on: amd
# long: intel debug
# timeout: 400

. tests/lib.sh
. tests/linux.sh

# fields PID KEY: the values that all threads of a process have in their status
fields() {
	cat "/proc/$1/task"/*/status | awk -v "key=$2:" '$1 == key { print $2 }' | sort -u | tr '\n' ' '
}

# Only lines of the tool itself.
said() {
	grep '^lamina: ' "$work/$1.out"
}

modprobe -a tun bridge vhost_net vhost_vsock || not_ok 'modules of the host'
bridge_up 10.9.0.1/24
mkdir -p /tmp/www /tmp/dir
echo fetched >/tmp/www/data
httpd -p 127.0.0.1:8000 -h /tmp/www
truncate -s 4M /tmp/disk /tmp/late

initrd all <<'END'
modprobe -a virtio_pci virtio_blk virtio_net virtio_rng virtio_balloon virtio_console 9pnet_virtio 9p
mkdir -p /a
until mount -t 9p -o trans=virtio,version=9p2000.L tag /a 2>/dev/null; do sleep 0.2; done
echo "written by the guest" >>/a/file
for card in /sys/class/net/eth*; do
	card=${card##*/}
	ip link set "$card" up
	case $(cat "/sys/class/net/$card/address") in
	*:01) ip addr add 10.9.0.2/24 dev "$card" ;;
	*) ip addr add 10.0.2.15/24 dev "$card" ;;
	esac
done
if dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null; then echo 'job: disk'; fi
if ping -c 1 -W 10 10.9.0.1 >/dev/null; then echo 'job: tap'; fi
echo "job: user $(wget -q -O - http://10.0.2.2:8000/data)"
echo "job: random $(head -c 16 /dev/hwrng | wc -c)"
if [ ! -e /a/again ]; then
	touch /a/again
	echo 'job: restarts'
	reboot -f
fi
# What is typed goes to the virtio console once it is there.
obey </dev/hvc0
END
cards='--net tap=lmtap1,bridge=lmbr,mac=52:54:00:00:00:01 --net user,mac=52:54:00:00:00:02'
# shellcheck disable=SC2086 # several words
start one --mem 192M --cpus 2 --disk /tmp/disk $cards --share /tmp/dir:tag --rng --balloon --vsock 77 \
	--console virtio
running one '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
pid=$one_pid
text=$(tr -d '\r' <"$work/one.out")
is 'it starts twice' "$(lines "$text" '^guest: up')" 2
is 'a disk, both times' "$(lines "$text" '^job: disk$')" 2
is 'a tap, both times' "$(lines "$text" '^job: tap$')" 2
is 'a network of its own, both times' "$(lines "$text" '^job: user fetched$')" 2
is 'random numbers, both times' "$(lines "$text" '^job: random 16$')" 2
is 'a shared directory, both times' "$(grep -c guest /tmp/dir/file)" 2
is 'by vhost' "$(lamina show one | grep -c 'carried_by=vhost')" 1
is 'nothing to say' "$(said one)" ''

is 'a filter for all threads' "$(fields "$pid" Seccomp)" '2 '
is 'no new privileges' "$(fields "$pid" NoNewPrivs)" '1 '
# CHOWN, DAC_*, FOWNER, FSETID, SETUID, SETGID, NET_BIND_SERVICE, MKNOD: for files and ports.
is 'capabilities' "$(fields "$pid" CapPrm)" '00000000000004df '
is 'effective ones' "$(fields "$pid" CapEff)" '00000000000004df '
is 'the bounding set' "$(fields "$pid" CapBnd)" '0000000000000000 '

is 'attach a disk' "$(lamina attach one disk /tmp/late)" 'disk1 at 00:09.0'
is 'attach a tap' "$(lamina attach one net tap=lmtap2,bridge=lmbr)" 'net2 at 00:0a.0'
is 'attach a network of its own' "$(lamina attach one net user)" 'net3 at 00:0b.0'
is 'attach a directory' "$(lamina attach one share /tmp/www:www)" 'share1 at 00:0c.0'
is 'attached: by vhost' "$(lamina show one | grep -c 'carried_by=vhost')" 2
passes 'detach' lamina detach --force one net2
passes 'ask for memory' lamina balloon one 176M
finish one
is 'power-off' "$status" 0

# One that needs little may do little.
initrd two <<'END'
obey
END
start two --mem 128M --disk /tmp/disk
running two '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
is 'no capabilities' "$(fields "$two_pid" CapPrm)" '0000000000000000 '
exits 1 'attach a directory where none is' lamina attach two share /tmp/www:www
like 'what it says' "$output" '^lamina: two: its sandbox has no room .*--sandbox=on,share'
exits 1 'attach a network where none is' lamina attach two net user
like 'and that' "$output" '^lamina: two: its sandbox has no room .*--sandbox=on,net'
finish two
is 'power-off of the second' "$status" 0

start three --mem 128M --sandbox=off
running three '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
is 'off: no filter' "$(fields "$three_pid" Seccomp)" '0 '
is 'off: capabilities' "$(fields "$three_pid" CapPrm)" "$(fields $$ CapPrm)"
finish three
# An empty root directory.
start four --mem 128M --share /tmp/dir:tag --sandbox=on,root
running four '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
is 'root: what is left' "$(cd "/proc/$four_pid/root" && find . -maxdepth 3 | sort | xargs)" \
	'. ./proc ./proc/self ./proc/self/fd'
# shellcheck disable=SC2016 # for the guest
tell four 'modprobe -a virtio_pci 9pnet_virtio 9p; mkdir -p /a; mount -t 9p -o trans=virtio,version=9p2000.L tag /a && echo "job: $(grep -c guest /a/file)"'
running four '^job: 2$'
finish four
is 'root: power-off' "$status" 0

# The same by somebody without rights, in a user namespace.
chmod 666 /dev/lamina
nobody() {
	/usr/local/sbin/setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all \
		lamina run --kernel /guest/vmlinux --initrd /guest/initrd --mem 128M --sandbox=on,root "$@" </dev/null
}
exits 0 'root, without rights' nobody --append "console=ttyS0 quiet ${quick}lm.run=true"
like 'root, without rights: it ran' "$(printf '%s\n' "$output" | tr -d '\r')" '^guest: status 0$'
exits 1 'root, without rights and with a name' nobody --name five
like 'what it says to that' "$output" "^lamina: --sandbox=root takes root's rights"

exits 2 'a word that is none' lamina run --kernel /guest/vmlinux --sandbox=frob
like 'a word that is none: what it says' "$output" "there is no 'frob'"
