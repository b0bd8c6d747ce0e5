#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Debian's QEMU, unmodified, as client of the module: both kinds of PC, with interrupt
# controllers in the module, split, and in QEMU, boot Debian's kernel. Packages:
# qemu-system-x86 with seabios, of Debian 12 (7.2, with dev_kvm=1) and of bookworm-backports (10,
# which is told the device).
#
# A pairwise cover of machine, controllers and CPUs; with --long all of them. QEMU 7.2 with
# controllers of its own and several CPUs hangs in SeaBIOS on KVM too (a CPU that waits for its
# start-up spins and holds QEMU's lock), and QEMU 10 refuses that on KVM: so one CPU there.
# host: --smp 2 --mem 2G --guest-kernel --with-qemu 7.2 --with-qemu 10
# add: tests/linux.sh
# add: tests/qemu.sh
# module: dev_kvm=1
# on: amd
# long: intel
# timeout: 600

. tests/lib.sh
. tests/linux.sh
. tests/qemu.sh

pairs='7.2:pc:on:2 10:pc:split:1 10:q35:on:1 7.2:q35:split:2 7.2:q35:off:1'
[ -z "${LONG:-}" ] || pairs="$pairs 7.2:pc:on:1 7.2:pc:split:2 7.2:pc:off:1 7.2:q35:on:2
	7.2:q35:split:1 10:pc:on:2 10:pc:split:2 10:q35:on:2 10:q35:split:2 10:q35:split:1"
[ "$LAMINA_HOST" != intel ] || pairs='7.2:pc:on:1 7.2:q35:split:1'

initrd qemu <<'END'
echo "job: complaints $(complaints | head -n 3)"
echo "job: chips $(awk '/IO-APIC.*ttyS0/ { n++ } END { print n + 0 }' /proc/interrupts)"
echo "job: timer $(awk '/^ *LOC:/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i > 0; print n }' /proc/interrupts)"
a=$(date +%s)
sleep 1
echo "job: slept $(($(date +%s) - a >= 1))"
dd if=/dev/urandom of=/data bs=64k count=32 2>/dev/null
cat /data >/copy
cmp /data /copy && echo 'job: equal'
obey
END

for pair in $pairs; do
	version=${pair%%:*} cpus=${pair##*:}
	irqchip=${pair#*:} machine=${irqchip%%:*}
	irqchip=${irqchip#*:} irqchip=${irqchip%:*}
	label="QEMU $version, $machine, kernel-irqchip=$irqchip, CPUs: $cpus"
	qemu_is "$version"
	# What KVM does not offer without its local APIC, nor do we.
	cpu=qemu64
	[ "$irqchip" != off ] || cpu=$cpu,kvm-asyncpf-int=off,kvm-steal-time=off,kvm-pv-eoi=off
	linux one -machine "$machine,kernel-irqchip=$irqchip" -smp "$cpus" -cpu "$cpu" -m 256
	if ! running one '^job: ready'; then
		diag "$(tail -n 5 "$work/one.err")"
		drop one
		continue
	fi
	like "$label: the module runs it" "$(lamina list --json)" "\"vcpus\": ?$cpus"
	finish one
	is "$label: status" "$status" 0
	like "$label: CPUs and clock" "$text" "^guest: up cpus=$cpus mem=2[0-9]{5}kB clocksource=kvm-clock"
	like "$label: nothing to complain about" "$text" '^job: complaints $'
	like "$label: the serial port's interrupt" "$text" '^job: chips 1$'
	like "$label: the local APICs' timers" "$text" "^job: timer $cpus\$"
	like "$label: sleep wakes" "$text" '^job: slept 1$'
	like "$label: data" "$text" '^job: equal$'
	like "$label: power-off" "$text" 'reboot: Power down$'
done
is 'nothing is left' "$(lamina list)" ''
