# SPDX-License-Identifier: GPL-2.0-only
# Helpers for tests in which QEMU is the client, sourced after linux.sh in an emulated host
# that has --with-qemu and, for QEMU 7.2, the module's /dev/kvm.
# shellcheck shell=sh disable=SC2034,SC2154

# qemu_is VERSION: which one the helpers start
qemu_is() {
	case $1 in
	10) qemu=/opt/qemu-10/qemu-system-x86_64 accel=kvm,device=/dev/lamina ;;
	*) qemu=qemu-system-x86_64 accel=kvm ;;
	esac
}
qemu_is 7.2

# qemu NAME OPTION...: start it in the background, as "start" does the tool: "running",
# "tell" and "finish" of linux.sh are for its first serial port, "hmp" for its monitor.
qemu() {
	id=$1
	shift
	rm -f "$work/$id".*
	mkfifo "$work/$id.in" "$work/$id.hmp.in" "$work/$id.hmp.out"
	# Ends of pipes are held by a sleeper, so that nobody waits for an opener or sees an end.
	sleep 100000 <>"$work/$id.in" 3<>"$work/$id.hmp.in" 4<>"$work/$id.hmp.out" &
	eval "${id}_holder=$!"
	cat "$work/$id.hmp.out" >"$work/$id.hmp" &
	"$qemu" -accel "$accel" -nodefaults -display none -name "$id" \
		-chardev stdio,id=tty,signal=off -serial chardev:tty \
		-chardev "pipe,id=hmp,path=$work/$id.hmp" -mon chardev=hmp "$@" \
		<"$work/$id.in" >"$work/$id.out" 2>"$work/$id.err" &
	eval "${id}_pid=$!"
}

# answered NAME SIZE: has the monitor said more than that, and asks for a command again?
answered() {
	[ "$(tail -c "+$(($2 + 1))" "$work/$1.hmp" | grep -c '')" -gt 1 ] &&
		[ "$(tail -c 7 "$work/$1.hmp")" = '(qemu) ' ]
}

# hmp NAME COMMAND: what QEMU's monitor answers
hmp() {
	said=$(wc -c <"$work/$1.hmp")
	printf '%s\n' "$2" >"$work/$1.hmp.in"
	wait_for "$PATIENCE" answered "$1" "$said" || echo 'the monitor does not answer'
	# Without the echo of the command.
	tail -c "+$((said + 1))" "$work/$1.hmp" | tr -d '\r' | sed '1d;s/(qemu) $//'
}

# linux NAME OPTION...: as qemu, with Debian's kernel and $initrd in it
linux() {
	id=$1
	shift
	qemu "$id" -kernel "${kernel:-/guest/vmlinux}" -initrd "${initrd:-/guest/initrd}" \
		-append "console=ttyS0 quiet $quick${words:-lm.run=sh+/job}" "$@"
}

# screen NAME: what a VGA in text mode shows, from the guest's memory
screen() {
	# shellcheck disable=SC2059 # the characters are the format
	printf "$(hmp "$1" 'xp /2000xh 0xb8000' | sed 's/^[^:]*: *//' | tr ' ' '\n' |
		sed -n 's/^0x..\(..\)$/\\x\1/p' | tr -d '\n' | sed 's/\\x00/ /g;s/\\x25/%%/g')" |
		tr -c ' -~' . | fold -w 80
}

# shows NAME PATTERN: does it show such a line?
shows() {
	screen "$1" | grep -qE -e "$2"
}

# pixel FILE X Y: red, green and blue of a pixel in what "screendump" wrote
pixel() {
	width=$(sed -n '2s/ .*//p;2q' "$1")
	header=$(head -n 3 "$1" | wc -c)
	od -An -tu1 -j $((header + ($3 * width + $2) * 3)) -N 3 "$1" | xargs
}
