# SPDX-License-Identifier: GPL-2.0-only
# Sourced by scripts/host: an AMD machine, in QEMU. Sets the positional parameters to
# the command that runs it.
# shellcheck shell=sh disable=SC2086,SC2154 # several words; variables of host

qemu=$("$top/scripts/get-emulator" qemu) || exit 105
accel=${icount:+"tcg -icount shift=0,sleep=off"}
# Ctrl-] is QEMU's escape, since the tool in the machine uses Ctrl-A itself.
mkfifo "$adds/monitor.in" "$adds/monitor.out"
# The image stays as it is.
[ -z "$drive" ] || words="$words -drive if=virtio,format=raw,snapshot=on,file=$drive"
set -- $qemu -machine q35 -accel ${accel:-tcg,thread=multi} \
	-cpu "${model:-EPYC,+vgif}" -smp "${smp:-${icount:-2}}" -m "$mem" \
	-nodefaults -display none -no-reboot -echr 0x1d \
	-chardev "stdio,id=console,mux=on,signal=off,logfile=$log/console.log" \
	-mon chardev=console -serial chardev:console \
	-chardev "pipe,id=monitor,path=$adds/monitor" -mon chardev=monitor \
	-chardev "file,id=log,path=$log/kernel.log" \
	-device isa-debugcon,iobase=0xe9,chardev=log \
	-device isa-debug-exit,iobase=0xf4,iosize=0x01 \
	-kernel "$image" -initrd "$adds/initrd" -append "$no_self_tests $cmdline" $words

# A proper end: the status that verdict.c asks for, not the 0 after a panic.
ended() {
	[ "$status" -eq 171 ]
}

# What each CPU is about, as the machine sees it: one that hangs answers to nothing else.
show_cpus() {
	n=0
	while [ $n -lt "${smp:-2}" ]; do
		# shellcheck disable=SC2016 # registers
		printf '%s\n' "cpu $n" 'info registers' 'x/8i $pc' 'x/64gx $rsp'
		n=$((n + 1))
	done >"$adds/monitor.in"
	timeout 5 cat "$adds/monitor.out" | tr -d '\r' | grep -av '^(qemu)' >"$log/cpus.log"
	grep -aE '^(RIP|CR3)' "$log/cpus.log" >&2
}
