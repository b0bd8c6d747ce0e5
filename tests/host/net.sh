#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests with a network: two of them and the host on a bridge, by vhost and by the tool
# itself; sockets without a network; what is refused, and that nothing is left.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmvsock
# add: /sbin/ip:/usr/local/sbin/ip
# add: /sbin/bridge:/usr/local/sbin/bridge
# add: /usr/bin/setpriv:/usr/local/sbin/setpriv
# timeout: 600

. tests/lib.sh
. tests/linux.sh

# no_net STATUS NAME PATTERN OPTION...: no guest, and no tap is left
no_net() {
	no_guest "$@"
	is "$2: no tap is left" "$(ip link | grep -c 'lmtap')" "${taps:-0}"
}

# card GUEST-ADDRESS: the part of a job that brings the network up
card() {
	echo "ip link set eth0 up; ip addr add $1/24 dev eth0"
	cat <<-'JOB'
		echo "job: card $(cat /sys/class/net/eth0/address) $(cat /sys/class/net/eth0/carrier)"
	JOB
}

no_net 1 'no driver' "there is no /dev/net/tun: load its driver with 'sudo modprobe tun'" \
	--net tap=lmtap1
modprobe -a tun bridge vhost_net vhost_vsock || not_ok 'modules of the host'
bridge_up 10.9.0.1/24

no_net 2 'a key that is not there' "there is no 'frob=1'" --net tap=lmtap1,frob=1
no_net 2 'no tap' 'which tap' --net bridge=lmbr
no_net 2 'a long name' 'not a name for a network interface' --net tap=lmtap1lmtap1lmtap1
no_net 2 'an address of a group' 'not the address of a network card' \
	--net tap=lmtap1,mac=01:02:03:04:05:06
no_net 2 'half an address' 'not the address of a network card' --net tap=lmtap1,mac=02:02:03
no_net 2 'a CID of the host' 'not a number from 3' --vsock 2
no_net 1 'no such bridge' 'there is no bridge lmbr7: make it' --net tap=lmtap1,bridge=lmbr7
no_net 1 'no bridge at all' 'lo is a network interface but no bridge' --net tap=lmtap1,bridge=lo
no_net 1 'no tap at all' 'lmbr is a network interface but no tap' --net tap=lmbr

# Somebody without rights, who may open the devices.
chmod 666 /dev/net/tun /dev/lamina /dev/vhost-net
nobody() {
	/usr/local/sbin/setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all "$@"
}
output=$(nobody lamina run --kernel /guest/vmlinux --net tap=lmtap1 2>&1 </dev/null)
is 'no permission: status' $? 1
like 'no permission: the way out' "$output" '^lamina: no permission .*ip tuntap add lmtap1 mode tap'
ip tuntap add lmtap1 mode tap vnet_hdr user 65534
output=$(nobody lamina run --kernel /guest/vmlinux --net tap=lmtap1,bridge=lmbr 2>&1 </dev/null)
is 'no permission for the bridge: status' $? 1
like 'no permission for the bridge' "$output" '^lamina: no permission to put lmtap1 into the bridge'
is 'a tap that was there stays' "$(ip link show lmtap1 | grep -c lmtap1)" 1
ip tuntap del lmtap1 mode tap

# Two guests. The first serves a file; the second fetches it, and serves what it got.
initrd one /tests/linux/build/lmvsock <<END
$(card 10.9.0.2)
dd if=/dev/urandom of=/data bs=64k count=96 2>/dev/null
httpd -p 80 -h /
/lmvsock listen 7 &
echo "job: serves \$(md5sum </data)"
read -r line
echo "job: irqs \$(grep -c 'PCI-MSI.*virtio0-input' /proc/interrupts)"
echo "job: complaints \$(complaints | head -n 3)"
echo "job: host \$(/lmvsock 2 8 hello)"
read -r line
echo "job: carrier \$(cat /sys/class/net/eth0/carrier)"
END
start one --mem 192M --cpus "$smp" --net tap=lmtap1,bridge=lmbr,mac=52:54:00:12:34:56 --vsock 77
initrd two <<END
$(card 10.9.0.3)
ping -c 3 -w 60 10.9.0.1 >/dev/null && echo 'job: host answers'
ping -c 3 -w 60 10.9.0.2 >/dev/null && echo 'job: guest answers'
wget -q -O /data http://10.9.0.2/data
httpd -p 80 -h /
echo "job: got \$(md5sum </data)"
read -r line
END
running one '^job: serves' || exit
start two --mem 192M --net tap=lmtap2,bridge=lmbr
running two '^job: got'
running_text=$(cat "$work/one.out" "$work/two.out")
served=$(printf '%s\n' "$running_text" | sed -n 's/^job: serves \([0-9a-f]*\).*/\1/p')
like 'the address that was asked for, and a carrier' "$running_text" '^job: card 52:54:00:12:34:56 1'
like 'an address that was made up' "$running_text" '^job: card .[26ae]:.* 1'
like 'the host answers' "$running_text" '^job: host answers'
like 'the other guest answers' "$running_text" '^job: guest answers'
like 'TCP between guests' "$running_text" "^job: got $served"
wget -q -O /tmp/got http://10.9.0.3/data
is 'TCP from a guest to the host' "$(sum /tmp/got)" "$served"

# As the host's user sees it.
like 'a tap with a header' "$(ip -d link show lmtap1)" 'tun type tap .*vnet_hdr on'
like 'in the bridge' "$(bridge link)" 'lmtap1: .*UP.* master lmbr state forwarding'
like 'and the other' "$(bridge link)" 'lmtap2: .*UP.* master lmbr state forwarding'
like 'the bridge learned the address' "$(bridge fdb show br lmbr)" '52:54:00:12:34:56 dev lmtap1'
# shellcheck disable=SC2154 # set by start
is 'by vhost' "$(for fd in "/proc/$one_pid/fd"/*; do readlink "$fd"; done |
	grep -c '^/dev/vhost-net$')" 1
taps=2 no_net 1 'a tap in use' 'the tap lmtap1 is in use' --net tap=lmtap1
taps=2 no_net 1 'a CID in use' 'the vsock CID 77 is in use' --vsock 77

# Sockets between the host and the guest, both ways.
is 'vsock: host to guest' "$(tests/linux/build/lmvsock 77 7 hello)" hello
tests/linux/build/lmvsock listen 8 &
echo >"$work/one.in"
running one '^job: host'
like 'vsock: guest to host' "$(cat "$work/one.out")" '^job: host hello'
like 'the network interrupts by MSI-X' "$(cat "$work/one.out")" '^job: irqs 1'

# A tap that is taken away.
ip link del lmtap1
running one '^lamina: net0: the tap lmtap1 is gone'
finish one
is 'a tap that went: status' "$status" 0
like 'a tap that went: no carrier' "$text" '^job: carrier 0'
like 'nothing to complain about' "$text" '^job: complaints $'
finish two
is 'the other guest: status' "$status" 0
is 'no tap is left' "$(ip link | grep -c lmtap)" 0

# The same without vhost, in a network namespace, with INTx instead of MSI-X, and a
# guest that is killed.
ip link del lmbr
ip netns add lab
bridge_up 10.9.0.1/24 -n lab
wait_for 10 rmmod vhost_net || not_ok 'vhost_net is unused'
initrd three <<END
$(card 10.9.0.4)
dd if=/dev/urandom of=/data bs=64k count=48 2>/dev/null
httpd -p 80 -h /
ping -c 3 -w 60 10.9.0.1 >/dev/null && echo 'job: host answers'
echo "job: intx \$(grep -c 'IO-APIC.*fasteoi.*virtio' /proc/interrupts)"
echo "job: serves \$(md5sum </data)"
read -r line
END
# shellcheck disable=SC2317 # called by start
lamina() {
	exec /usr/local/sbin/ip netns exec lab /bin/lamina "$@"
}
words='lm.run=sh+/job pci=nomsi'
start three --mem 192M --net tap=lmtap3,bridge=lmbr
words=''
running three '^job: serves'
text=$(tr -d '\r' <"$work/three.out")
like 'without vhost: it says so' "$text" '^lamina: .*/dev/vhost-net: .*this process will carry'
like 'without vhost: the host answers' "$text" '^job: host answers'
like 'without MSI-X' "$text" '^job: intx [1-9]'
served=$(printf '%s\n' "$text" | sed -n 's/^job: serves \([0-9a-f]*\).*/\1/p')
ip netns exec lab wget -q -O /tmp/got http://10.9.0.4/data
is 'without vhost: TCP to the host' "$(sum /tmp/got)" "$served"
is 'the tap is in the namespace' "$(ip -n lab link | grep -c lmtap3) $(ip link | grep -c lmtap)" \
	'1 0'
drop three
is 'a tool that was killed leaves no tap' "$(ip -n lab link | grep -c lmtap)" 0
ip netns del lab
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
