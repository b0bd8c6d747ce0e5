#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A guest on a network of its own (--net user), run by somebody without any rights: an
# address by DHCP, TCP and UDP to the host and, by a forwarded port, from it; cards that come and go.
# host: --smp 2 --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmudp
# add: /usr/bin/setpriv:/usr/local/sbin/setpriv
# on: amd
# long: intel debug
# timeout: 300

. tests/lib.sh
. tests/linux.sh

# sockets PID: how many it has
sockets() {
	for fd in "/proc/$1/fd"/*; do readlink "$fd"; done | grep -c '^socket:'
}

chmod 666 /dev/lamina
mkdir /tmp/www
dd if=/dev/urandom of=/tmp/www/data bs=64k count=80 2>/dev/null
httpd -p 127.0.0.1:8000 -h /tmp/www

no_guest 1 'a port in use' '^lamina: port 8000 of the host is in use' --net user,forward=tcp:8000:80

# The guest does what it is told.
cat >/tmp/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/24" dev "$interface"
ip route add default via "$router"
echo "job: lease $interface $ip router $router dns $dns" >/dev/console
END
chmod +x /tmp/lease
initrd guest /tmp/lease tests/linux/build/lmudp <<'END'
ip link set eth0 up
udhcpc -i eth0 -q -n -s /lease >/dev/null
obey
END
# Somebody else, without rights.
nobody() {
	/usr/local/sbin/setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all "$@"
}
# shellcheck disable=SC2317 # called by start
lamina() {
	exec /usr/local/sbin/setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all \
		/bin/lamina "$@"
}
start one --mem 128M --net user,mac=52:54:00:12:34:56,forward=tcp:8080:80,forward=udp:8053:53
unset -f lamina
running one '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
pid=$one_pid
text=$(tr -d '\r' <"$work/one.out")
like 'an address by DHCP' "$text" '^job: lease eth0 10.0.2.15 router 10.0.2.2 dns 10.0.2.3'
text=$(nobody lamina show one)
like 'show' "$text" '^device +net0 kind=net .*state=running queues=2 network=user mac=52:54:00:12:34:56 carried_by=process'
is 'without rights' "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")" 0000000000000000

# shellcheck disable=SC2016 # for the guest
tell one 'wget -q -O /data http://10.0.2.2:8000/data; echo "job: got $(md5sum </data)"'
running one '^job: got'
like 'TCP to the host' "$(cat "$work/one.out")" "^job: got $(sum /tmp/www/data)"
tell one 'httpd -p 80 -h /; echo "job: serves"'
running one '^job: serves'
before=$(sockets "$pid")
n=0
while [ $n -lt 3 ]; do
	wget -q -O /tmp/got http://127.0.0.1:8080/data
	is 'TCP from the host, by a forwarded port' "$(sum /tmp/got)" "$(sum /tmp/www/data)"
	n=$((n + 1))
done
closed() {
	[ "$(sockets "$pid")" -le "$before" ]
}
passes 'connections that ended are closed' wait_for 60 closed
# Datagrams, both ways.
tests/linux/build/lmudp listen 8054 &
echo_pid=$!
# shellcheck disable=SC2016 # for the guest
tell one '/lmudp listen 53 & echo "job: udp $(/lmudp 10.0.2.2 8054 guest)"'
running one '^job: udp'
like 'UDP to the host' "$(cat "$work/one.out")" '^job: udp guest'
for word in one two; do
	is 'UDP from the host, by a forwarded port' \
		"$(tests/linux/build/lmudp 127.0.0.1 8053 $word)" $word
done
kill $echo_pid
# A connection that nobody answers, and one to a port that nobody has.
# shellcheck disable=SC2016 # for the guest
tell one 'wget -q -O /data http://10.0.2.2:8001/data; echo "job: refused $?"'
running one '^job: refused 1'
# A card that comes and goes.
exits 1 'attach: a port in use' nobody lamina attach one net user,forward=tcp:8080:80
like 'attach: a port in use: what it says' "$output" '^lamina: one: port 8080 of the host is in use'
is 'attach' "$(nobody lamina attach one net user,forward=tcp:8082:80)" 'net1 at 00:02.0'
# shellcheck disable=SC2016 # for the guest
tell one 'until [ -e /sys/class/net/eth1 ]; do sleep 0.1; done; ip link set eth0 down; ip link set eth1 up; udhcpc -i eth1 -q -n -s /lease >/dev/null; echo "job: second"'
running one '^job: second'
wget -q -O /tmp/got http://127.0.0.1:8082/data
is 'its port' "$(sum /tmp/got)" "$(sum /tmp/www/data)"
passes 'detach' nobody lamina detach one net1
output=$(wget -q -O /tmp/got http://127.0.0.1:8082/data 2>&1)
is 'its port is closed' $? 1
tell one ''
finish one
is 'status' "$status" 0
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
