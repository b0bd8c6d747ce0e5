#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Debian's own kernel in a guest: both formats, all ways to end, the memory and
# the devices that it finds.
# host: --smp 2 --mem 1536M --guest-kernel
# add: tests/linux.sh
# on: amd intel
# timeout: 600

. tests/lib.sh
. tests/linux.sh

initrd boot <<'END'
echo "job: cmdline $(cat /proc/cmdline)"
echo "job: complaints $(complaints | head -n 3)"
echo "job: timer $(awk '/^ *LOC:/ { print ($2 > 0) }' /proc/interrupts)"
echo "job: serial $(grep -cE 'IO-APIC.*edge.*ttyS0' /proc/interrupts)"
echo "job: acpi $(ls /sys/firmware/acpi/tables | tr '\n' ' ')"
echo "job: pci $(ls /sys/bus/pci/devices | tr '\n' ' ')"
a=$(date +%s)
b=$(cut -d . -f 1 /proc/uptime)
sleep 2
echo "job: slept $(($(date +%s) - a >= 1)) $(($(cut -d . -f 1 /proc/uptime) - b >= 1))"
dd if=/dev/urandom of=/data bs=64k count=64 2>/dev/null
cat /data >/copy
cmp /data /copy && echo 'job: equal'
END

# No crutches here, and a compressed kernel only where a minute unpacks it.
formats='vmlinux vmlinuz' hurry=$quick quick=''
! brief || formats=vmlinux
for format in $formats; do
	kernel=/guest/$format
	guest --mem 256M
	is "$format: power-off is status 0" "$status" 0
	like "$format: CPU and clock" "$text" \
		'^guest: up cpus=1 mem=[12][0-9]{5}kB clocksource='$clock
	like "$format: no crutches" "$text" '^job: cmdline console=ttyS0 quiet lm.run=[^ ]*$'
	like "$format: nothing to complain about" "$text" '^job: complaints $'
	like "$format: the local APIC's timer" "$text" '^job: timer 1$'
	like "$format: serial port's interrupt" "$text" '^job: serial 1$'
	like "$format: ACPI tables" "$text" '^job: acpi APIC .*FACP'
	like "$format: PCI" "$text" '^job: pci 0000:00:00.0 $'
	like "$format: sleep wakes" "$text" '^job: slept 1 1$'
	like "$format: data" "$text" '^job: equal$'
	like "$format: the job ended" "$text" '^guest: status 0$'
	like "$format: power-off" "$text" 'reboot: Power down$'
done
kernel=/guest/vmlinux quick=$hurry

# A reboot starts the guest again, with everything loaded anew: the second time it
# finds another job. It takes a line typed at its console.
initrd again <<'END'
echo 'job: first'
read -r line
echo "job: heard $line"
reboot -f
END
start again --mem 256M --cpus "$smp"
if running again '^job: first'; then
	initrd again <<'END'
echo 'job: second'
echo "job: complaints $(complaints | head -n 3)"
poweroff -f
END
	echo hello >"$work/again.in"
	wait_for "$PATIENCE" says again '^job: second'
fi
finish again
is 'reboot, then power-off: status' "$status" 0
is 'reboot: two boots' "$(lines "$text" "^guest: up cpus=$smp ")" 2
is 'reboot: one job, then another' \
	"$(printf '%s\n' "$text" | grep -oE 'job: (first|heard.*|second)' | tr '\n' ',')" \
	'job: first,job: heard hello,job: second,'
like 'reboot: nothing to complain about' "$text" '^job: complaints $'

initrd=/guest/initrd words='lm.run=true lm.end=reboot'
guest --mem 256M --no-reboot
is '--no-reboot: status' "$status" 0
is '--no-reboot: one boot' "$(lines "$text" '^guest: up')" 1
like '--no-reboot: it did reboot' "$text" 'reboot: Restarting system'

words='lm.run=true lm.end=reboot reboot=t'
guest --mem 256M --cpus "$smp"
is 'triple fault: status' "$status" 3
is 'triple fault: one boot' "$(lines "$text" '^guest: up')" 1
like 'triple fault: one clear line' "$text" '^lamina: .*triple fault'

# The guest has no panic=, so it stays where it is until it is ended from outside.
words='lm.run=true lm.end=panic'
start panic --mem 256M
if running panic 'end Kernel panic'; then
	ok 'panic: seen on the console'
	eval "kill -TERM \$panic_pid"
	finish panic
	is 'panic: SIGTERM ends the guest' "$status" 143
else
	drop panic
fi

# More than the host has; part of it is above 4 GiB.
words=''
initrd big <<'END'
echo "job: high $(grep -ciE '^ *1[0-9a-f]{8}-1[0-9a-f]{8} : System RAM' /proc/iomem)"
mount -t tmpfs -o size=300m tmpfs /tmp
dd if=/dev/urandom of=/tmp/a bs=1M count=48 2>/dev/null
a=$(md5sum </tmp/a)
cp /tmp/a /tmp/b
[ "$a" = "$(md5sum </tmp/b)" ] && echo 'job: data right'
END
guest --mem 5G
is '5G on a small host: status' "$status" 1
like '5G on a small host: one clear line' "$text" '^lamina: .*more than the host'
if brief; then
	skip '5G' 'in make check-long: a minute on this host'
else
	guest --mem 5G --overcommit
	is '5G: status' "$status" 0
	like '5G: all of it is there' "$text" '^guest: up cpus=1 mem=(4[89]|5[0-2])[0-9]{5}kB'
	like '5G: memory above 4 GiB' "$text" '^job: high 1$'
	like '5G: data' "$text" '^job: data right$'
fi

is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
