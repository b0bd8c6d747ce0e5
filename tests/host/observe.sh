#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What a host sees of its guests: tracepoints, counters, threads, guest time, samples.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# add: tests/linux/build/lmperf
# on: amd intel-no-apicv
# timeout: 400

. tests/lib.sh
. tests/linux.sh

# stat FIELD...: the sum of these fields of the line "cpu" in /proc/stat
stat() {
	for field; do
		awk -v f="$field" '$1 == "cpu" { print $(f + 1) }' /proc/stat
	done | awk '{ n += $1 } END { print n }'
}
USER=1 SYSTEM=3 GUEST=9

is 'no guest time without a guest' "$(stat $GUEST)" 0

tracing=/sys/kernel/tracing
for event in lm_entry lm_exit lm_npf lm_msr lm_inject; do
	echo 1 >$tracing/events/lamina/$event/enable
	is "$event can be switched on" "$(cat $tracing/events/lamina/$event/enable)" 1
done
is 'no lines without a guest' "$(grep -c ' lm_' $tracing/trace)" 0
echo 4096 >$tracing/buffer_size_kb

initrd busy <<'END'
read -r line
i=0
while [ $i -lt 20000 ]; do i=$((i + 1)); done
echo 'job: busy'
read -r line
END
start busy --mem 192M --cpus "$smp"
last=$((smp - 1)) kinds='exit_cpuid exit_npf exit_hlt exit_msr halts irq_injected'
# shellcheck disable=SC2154 # busy_pid: start
if running busy "^guest: up cpus=$smp "; then
	# Boot was plenty.
	for event in lm_exit lm_npf lm_msr lm_inject; do
		echo 0 >$tracing/events/lamina/$event/enable
	done
	echo 0 >$tracing/events/lamina/lm_entry/enable
	cp $tracing/trace $work/trace
	like 'lm_entry' "$(grep -m 20 ' lm_entry: ' $work/trace)" \
		'lm_entry: vcpu [01] rip [0-9a-f]+ inject [0-9a-f]+$'
	like 'lm_exit' "$(grep -m 20 ' lm_exit: ' $work/trace)" \
		'lm_exit: vcpu [01] [a-z_]+ code [0-9a-f]+ rip [0-9a-f]+$'
	like 'lm_npf' "$(grep -m 20 ' lm_npf: ' $work/trace)" 'lm_npf: vcpu [01] gpa [0-9a-f]+'
	like 'lm_msr' "$(grep -m 20 ' lm_msr: ' $work/trace)" \
		'lm_msr: vcpu [01] (read|write) [0-9a-f]+ = '
	like 'lm_inject' "$(grep -m 20 ' lm_inject: ' $work/trace)" \
		'lm_inject: vcpu [01] vector [0-9]+ type [0-9]'
	like 'all vCPUs are there' "$(grep -om 1 "lm_exit: vcpu $last" $work/trace)" "vcpu $last"
	echo >$tracing/trace

	echo >"$work/busy.in"
	running busy '^job: busy' || :
	is 'no lines when switched off' "$(grep -c ' lm_' $tracing/trace)" 0

	# Counters.
	vm=$(echo /sys/kernel/debug/lamina/*)
	is 'a directory with the owner in its name' "${vm##*/}" "$busy_pid-${vm##*-}"
	like 'its owner' "$(cat "$vm/vm")" "^owner $busy_pid\$"
	like 'its CPUs' "$(cat "$vm/vm")" "^vcpus $smp\$"
	like 'its page tables' "$(cat "$vm/vm")" '^table_pages [1-9][0-9]*$'
	for cpu in $(seq 0 $last); do
		counters=$(cat "$vm/vcpu$cpu")
		is "vCPU $cpu: exits of all kinds add up" \
			"$(echo "$counters" | awk '/^exit_/ { n += $2 } END { print n }')" \
			"$(echo "$counters" | awk '/^exits / { print $2 }')"
		for kind in $kinds; do
			like "vCPU $cpu: $kind" "$counters" "^$kind [1-9][0-9]*\$"
		done
	done
	like 'vCPU 0: port accesses' "$(cat "$vm/vcpu0")" '^exit_io [1-9]'

	like 'threads have names' "$(cat /proc/"$busy_pid"/task/*/comm)" "^busy/$last"
	finish busy
	is 'the guest ended well' "$status" 0
else
	drop busy
fi
is 'the counters went with it' "$(ls /sys/kernel/debug/lamina)" ''

# CPUs that do nothing but run a guest: what is not counted as guest time was
# spent in exits, in the tool and in this script.
worker 8
start worker --mem 160M --cpus "$smp"
# shellcheck disable=SC2154 # worker_pid: start
if running worker '^work: begun' && works worker 'the guest works'; then
	guest=$(stat $GUEST) busy=$(stat $USER $SYSTEM) own=$(cut -d ' ' -f 43 "/proc/$worker_pid/stat")
	samples=$(tests/linux/build/lmperf "$worker_pid" 3)
	guest=$(($(stat $GUEST) - guest)) busy=$(($(stat $USER $SYSTEM) - busy))
	own=$(($(cut -d ' ' -f 43 "/proc/$worker_pid/stat") - own))
	diag "of $busy ticks $guest are guest time, $own of this guest"
	passes 'most of a busy time is guest time' test $guest -gt $((busy / 2))
	passes 'guest time is part of user time' test "$(stat $USER)" -ge "$(stat $GUEST)"
	passes "most of it is the owner's" test $own -gt $((guest / 2))

	diag "$samples"
	for cpu in $(seq 0 $(($(nproc) - 1))); do
		like "perf: samples in the guest's threads on CPU $cpu" "$samples" \
			"^perf: cpu $cpu samples [1-9][0-9]* owner [1-9][0-9]* lost 0\$"
	done

	# An NMI to each CPU finds a vCPU's thread and comes back.
	if [ "$(nproc)" -gt 1 ]; then
		dmesg -c >/dev/null
		echo l >/proc/sysrq-trigger
		backtraces=$(dmesg -c)
		like 'an NMI reaches a CPU that runs a guest' "$backtraces" \
			'NMI backtrace for cpu [01]$'
		like 'it finds the thread' "$backtraces" \
			'CPU: [01] PID: [0-9]+ Comm: worker/[01] '
	else
		skip 'an NMI from another CPU' 'there is none'
	fi
	works worker 'the guest works after samples and NMIs'
	retire worker 'the guest'
else
	drop worker
fi
skip 'hardware events, the NMI watchdog' 'the emulated CPU has no performance counters'
