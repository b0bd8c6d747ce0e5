#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Directories of the host in a guest (--share): data, names, owners, links that lead out.
# host: --smp 2 --guest-kernel
# add: tests/linux.sh
# add: /usr/bin/setpriv:/usr/local/sbin/setpriv
# on: amd
# long: intel debug
# timeout: 300

. tests/lib.sh
. tests/linux.sh

# held PATH: how many descriptors the tool has below it
held() {
	for fd in "/proc/$pid/fd"/*; do readlink "$fd"; done | grep -c "^$1"
}

# does NAME COMMAND PATTERN: the guest runs it, and prints a line like that
steps=0
does() {
	steps=$((steps + 1))
	tell one "echo \"job: step $steps \$({ $2; } | tr '\\n' ' ')end\""
	running one "^job: step $steps .*end$" || exit
	like "$1" "$(tr -d '\r' <"$work/one.out")" "^job: step $steps $3 *end$"
}

no_guest 1 'no such directory' '^lamina: cannot share /tmp/none: No such file' --share /tmp/none:a
no_guest 1 'a file' '^lamina: cannot share /bin/busybox: Not a directory' --share /bin/busybox:a

mkdir -p /tmp/dir/sub /tmp/dir/many /tmp/other
echo secret >/tmp/secret
echo hello >/tmp/dir/hello
dd if=/dev/urandom of=/tmp/dir/large bs=1M count=8 2>/dev/null
ln -s /tmp/secret /tmp/dir/absolute
ln -s ../secret /tmp/dir/relative
mkfifo /tmp/dir/pipe
chmod 777 /tmp/dir
n=0
while [ $n -lt 300 ]; do
	: >"/tmp/dir/many/a-name-that-is-not-short-$n"
	n=$((n + 1))
done

initrd one <<'END'
modprobe -a 9pnet_virtio 9p
mkdir /a /b
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 tree /a && echo 'job: mounted'
mount -t 9p -o trans=virtio,version=9p2000.L bare /b
echo 'secret of the guest' >/tmp/secret
obey
echo "job: complaints $(complaints | head -n 3)"
END
start one --mem 160M --share /tmp/dir:tree --share /tmp/dir:bare,ro
running one '^job: ready' || exit
# shellcheck disable=SC2154 # set by start
pid=$one_pid

# shellcheck disable=SC2016 # for the guest
{
does 'read' 'cat /a/hello' hello
does 'a large file' 'md5sum </a/large' "$(sum /tmp/dir/large)  -"
does 'many names' 'ls /a/many | wc -l' 300
does 'write' 'dd if=/dev/urandom of=/data bs=64k count=40 2>/dev/null; cp /data /a/sub/data; md5sum </data' '.*'
is 'what was written' "$(sum /tmp/dir/sub/data)" \
	"$(tr -d '\r' <"$work/one.out" | sed -n "s/^job: step $steps \([0-9a-f]*\).*/\1/p")"
does 'append' 'echo world >>/a/hello; cat /a/hello | xargs' 'hello world'
does 'rename' 'mv /a/sub/data /a/moved; ls /a/sub; ls /a/moved' /a/moved
does 'remove' 'rm /a/moved; ls /a/moved 2>&1' '.*No such file.*'
does 'directories' 'mkdir -p /a/x/y; rmdir /a/x 2>&1; rmdir /a/x/y /a/x; ls -d /a/x 2>&1' '.*not empty.*No such file.*'
does 'mode' 'umask 022; : >/a/mode; stat -c %a /a/mode; chmod 4751 /a/mode; stat -c %a /a/mode' '644 751'
does 'owner' 'chown 1234:99 /a/mode; stat -c %u:%g /a/mode' 1234:99
does 'times' 'touch -d @86400 /a/mode; stat -c %Y /a/mode' 86400
does 'truncate' 'echo 1234567 >/a/mode; truncate -s 3 /a/mode; cat /a/mode' 123
does 'a link to a file' 'ln /a/mode /a/mode2; stat -c %h /a/mode' 2
does 'a symbolic link' 'ln -s hello /a/soft; readlink /a/soft; cat /a/soft | xargs' 'hello hello world'
does 'a file that is open and gone' 'exec 5<>/a/gone; rm /a/gone; echo there >&5; exec 5>&-; ls /a/gone 2>&1' '.*No such file.*'
does 'no devices' 'mknod /a/null c 1 3 2>&1' '.*not permitted.*'
does 'a pipe is the guest'\''s own' 'cat /a/pipe >/through & echo over >/a/pipe; wait; cat /through' over
does 'a link that leads out, absolute' 'cat /a/absolute' 'secret of the guest'
does 'and relative' 'cat /a/relative 2>&1' '.*No such file.*'
does '.. of the root' 'ls /a/.. | grep -c "^job$"' 1
does 'space' 'df -P /a | tail -n 1' 'tree .*'
does 'read only: reads' 'cat /b/hello | xargs' 'hello world'
does 'read only: writes' '(echo x >/b/hello) 2>&1; mkdir /b/new 2>&1; rm /b/hello 2>&1; chmod 600 /b/hello 2>&1' \
	'.*Read-only.*Read-only.*Read-only.*Read-only.*'
}
is 'nothing was written there' "$(cat /tmp/secret) $(ls -d /tmp/dir/new 2>/dev/null)" 'secret '
like 'show' "$(lamina show one)" '^device +share0 kind=share address=00:01.0 state=running queues=1 directory=/tmp/dir tag=tree read_only=0 requests=[1-9][0-9]* errors=[1-9][0-9]* read_bytes=[1-9][0-9]* written_bytes=[1-9]'

# While it runs.
exits 0 'attach' lamina attach one share /tmp/other:late
echo late >/tmp/other/file
# shellcheck disable=SC2016 # for the guest
does 'an attached one' 'mkdir /c; until mount -t 9p -o trans=virtio,version=9p2000.L late /c 2>/dev/null; do sleep 0.2; done; cat /c/file; umount /c' late
# The one that came, for when the guest starts again, and the device's.
is 'what is open' "$(held /tmp/other)" 2
exits 0 'detach' lamina detach one share2
is 'nothing of it is open' "$(held /tmp/other)" 0
tell one ''
finish one
is 'status' "$status" 0
like 'nothing to complain about' "$text" '^job: complaints $'

# A tool without rights gives no more than it has.
chmod 666 /dev/lamina
echo private >/tmp/dir/private
chmod 600 /tmp/dir/private
initrd two <<'END'
modprobe -a 9pnet_virtio 9p
mkdir /a
mount -t 9p -o trans=virtio,version=9p2000.L tree /a
echo "job: private $(cat /a/private 2>&1)"
echo "job: made $(echo mine >/a/mine; cat /a/mine)"
END
# shellcheck disable=SC2317 # called by guest
lamina() {
	/usr/local/sbin/setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all \
		/bin/lamina "$@"
}
start two --mem 128M --share /tmp/dir:tree
unset -f lamina
finish two
like 'not readable' "$text" '^job: private .*Permission denied'
like 'writable' "$text" '^job: made mine'
is 'whose it is' "$(stat -c %u:%a /tmp/dir/mine)" 65534:644
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
