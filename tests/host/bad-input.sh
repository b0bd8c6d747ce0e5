#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What a user does wrong, or the host does not allow: one clear line, and a status.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# on: amd intel
# timeout: 300

. tests/lib.sh
. tests/linux.sh

# refuses STATUS NAME PATTERN OPTION...: lamina run ends with this status after one
# line that matches
refuses() {
	wanted=$1 name=$2 pattern=$3
	shift 3
	got=0
	output=$(timeout "$PATIENCE" lamina run "$@" 2>&1 </dev/null) || got=$?
	if [ "$got" -eq "$wanted" ] && [ "$(echo "$output" | wc -l)" -eq 1 ] &&
	   echo "$output" | grep -qE "^lamina.*: .*$pattern"; then
		ok "$name"
	else
		not_ok "$name" "status $got"
		diag "$output"
	fi
}

# The same for wrong usage, where a second line points at --help.
misuses() {
	name=$1 pattern=$2
	shift 2
	got=0
	output=$(timeout "$PATIENCE" lamina "$@" 2>&1 </dev/null) || got=$?
	if [ "$got" -eq 2 ] && [ "$(echo "$output" | wc -l)" -le 3 ] &&
	   echo "$output" | grep -qE "^lamina.*: .*$pattern"; then
		ok "$name"
	else
		not_ok "$name" "status $got"
		diag "$output"
	fi
}

image=/guest/vmlinux
refuses 1 'no such kernel' '/nowhere: No such file' --kernel /nowhere
refuses 1 'no such initrd' '/nowhere: No such file' --kernel $image --initrd /nowhere
refuses 1 'a directory as kernel' '/tmp is not a regular file' --kernel /tmp
echo 'not a kernel' >$work/text
refuses 1 'a text as kernel' 'text is not a kernel' --kernel $work/text
: >$work/empty
refuses 1 'an empty file as kernel' 'empty' --kernel $work/empty
refuses 1 'a program as kernel' 'lamina is .* no kernel|lamina .*(kernel|entry|PVH)' --kernel /bin/lamina
head -c 100000 $image >$work/cut
refuses 1 'half an ELF kernel' 'cut' --kernel $work/cut
head -c 100000 /guest/vmlinuz >$work/cutz
refuses 1 'half a bzImage' 'cut short' --kernel $work/cutz
refuses 1 'memory that the host has not' 'more than the host' --kernel $image --mem 100G
refuses 1 'memory that no CPU can address' '.' --kernel $image --mem 100000T --overcommit
refuses 1 'too little memory' '--mem' --kernel $image --mem 16M
refuses 1 'a command line that is too long' 'command line' --kernel $image \
	--append "$(head -c 100000 /dev/zero | tr '\0' x)"
refuses 1 'a device that is none' '/dev/null' --kernel $image --device /dev/null
refuses 1 'no such device' '/dev/nothing' --kernel $image --device /dev/nothing

misuses 'no kernel' 'no kernel' run
misuses 'no CPUs' "'0' is not a number" run --kernel $image --cpus 0
misuses 'a thousand CPUs' "'1000' is not a number" run --kernel $image --cpus 1000
misuses 'CPUs in words' "'two' is not a number" run --kernel $image --cpus two
misuses 'memory in words' "'much' is not a size" run --kernel $image --mem much
misuses 'no memory' "'0' is too little" run --kernel $image --mem 0
misuses 'memory beyond counting' 'too large|not a size' run --kernel $image --mem 99999999999999999999G
misuses 'a name that is none' 'is not a name' run --kernel $image --name ../x
misuses 'one word too many' "'more' is too much" run --kernel $image more
misuses 'no such option' 'nonsense' run --nonsense
misuses 'no such verb' 'nonsense' nonsense

# Another user, whom the device does not let in.
echo 'user:x:1000:1000:user:/tmp:/bin/sh' >>/etc/passwd
chmod 755 / /bin /guest /lib /usr /tmp 2>/dev/null
chmod 644 /guest/*
got=0
output=$(su user -c "lamina run --kernel $image" 2>&1 </dev/null) || got=$?
is 'another user: status' "$got" 1
like 'another user: what to do' "$output" '^lamina: no permission .*group'
is 'another user: one line' "$(echo "$output" | wc -l)" 1

# KVM has the CPU.
if modprobe "$kvm"; then
	refuses 1 'KVM is loaded' 'another hypervisor' --kernel $image
	like 'the kernel log says which' "$(dmesg | tail -n 5)" "lamina: .*$kvm is loaded and owns $extensions"
	rmmod "$kvm" kvm
else
	not_ok 'KVM cannot be loaded' "$(dmesg | tail -n 3)"
fi

rmmod lamina
refuses 1 'the module is not loaded' '/dev/lamina.*lamina load' --kernel $image
exits 0 'unload what is not loaded' lamina unload
insmod /lib/lamina.ko

# After all this, a good one works.
words='lm.run=true'
guest --mem 128M
is 'nothing is worn out' "$status" 0
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
