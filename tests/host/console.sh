#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The virtio console: what comes and goes on it, and the terminal's size.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/user/build/ptytalk
# on: amd
# long: intel debug
# timeout: 400

. tests/lib.sh
. tests/linux.sh

# On a terminal.
initrd size <<'END'
echo "job: on $(readlink /proc/self/fd/0)"
until [ "$(stty size 2>/dev/null)" = '25 81' ]; do sleep 0.1; done
echo "job: size $(stty size)"
read -r line
echo "job: heard $line"
until [ "$(stty size)" = '50 132' ]; do sleep 0.1; done
echo "job: wide"
END
talk=tests/user/build/ptytalk
output=$($talk "$PATIENCE" size=81x25 'expect=job: on /dev/hvc0' 'expect=job: size 25 81' raw \
	'send=hello^M' 'expect=job: heard hello' size=132x50 'expect=job: wide' \
	'expect=guest: status 0' -- \
	lamina run --kernel /guest/vmlinux --initrd "$initrd" --mem 128M --console virtio \
	--append 'console=hvc0 quiet lm.run=sh+/job' 2>&1)
got=$?
is 'on a terminal: typed, and its size' $got 0
[ $got -eq 0 ] || diag "$(printf '%s' "$output" | tail -n 20)"

# Much output, all of it, though who reads it is slow; and much input.
initrd much <<'END'
stty -echo
i=0
while [ $i -lt 5 ]; do
	seq $((i * 1000 + 1)) $((i * 1000 + 1000)) | sed 's/^/job: /'
	i=$((i + 1))
done
echo 'job: listens'
read -r line
echo "job: got ${#line} $line"
echo "job: complaints $(complaints | head -n 3)"
END
words='lm.run=sh+/job console=hvc0'
start much --mem 128M --console virtio
running much '^job: listens' || exit
tr -d '\r' <"$work/much.out" | sed -n 's/^job: \([0-9]*\)$/\1/p' >"$work/numbers"
seq 1 5000 >"$work/wanted"
passes 'all that was printed comes' cmp "$work/numbers" "$work/wanted"
line=$(seq -s , 1 800 | head -c 2000)
printf '%s' "$line" >"$work/much.in"
finish much
is 'status' "$status" 0
like 'all that was typed comes' "$text" "^job: got 2000 $line\$"
like 'the guest has no complaints' "$text" '^job: complaints $'

# The command line that goes with it, and without a terminal.
words=''
passes 'detached' lamina run --detach --name two --kernel /guest/vmlinux --initrd /guest/initrd \
	--mem 128M --console virtio
prompt() {
	# shellcheck disable=SC2016 # for the guest
	{ echo 'echo on $(readlink /proc/self/fd/0)'; sleep 2; } |
		timeout 10 lamina console two 2>&1 | tr -d '\r' | grep -qx 'on /dev/hvc0'
}
passes 'a shell on it' wait_for 12 prompt
like 'show' "$(lamina show two)" '^device +console0 kind=console address=00:01.0 state=running'
lamina kill two
exits 2 'what is that' lamina run --kernel x --console serial
exits 1 'two of them' lamina run --kernel /guest/vmlinux --console virtio --console virtio
like 'two of them: why' "$output" '^lamina: it has a console already'
