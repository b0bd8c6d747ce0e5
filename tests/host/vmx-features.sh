#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What VMX has beyond the necessary, each with and without: the same guests pass, and
# the exits tell that the feature was used, and then not.
# host: --mem 1G
# add: tests/guest/build/lmtest
# add: tests/api/build/lmapi
# on: intel intel-pml
# timeout: 300

. tests/lib.sh

tracing=/sys/kernel/tracing

# exits_of CODE TEST...: how often did the guests leave for that reason?
exits_of() {
	echo "code == $1" >$tracing/events/lamina/lm_exit/filter
	echo >$tracing/trace
	echo 1 >$tracing/events/lamina/lm_exit/enable
	shift
	tests/guest/build/lmtest "$@" >/dev/null
	echo 0 >$tracing/events/lamina/lm_exit/enable
	grep -c ' lm_exit: ' $tracing/trace
}

load() {
	rmmod lamina
	insmod /lib/lamina.ko vmx_check=1 ${1:+"$1=1"}
}

# both_ways PARAMETER CODE TEST...
both_ways() {
	parameter=$1 code=$2
	shift 2
	load ''
	with=$(exits_of "$code" "$@")
	passes "$parameter=0: $*" tests/guest/build/lmtest "$@"
	load "$parameter"
	without=$(exits_of "$code" "$@")
	passes "$parameter=1: $*" tests/guest/build/lmtest "$@"
	diag "$parameter: $with exits $code with, $without without"
	is "$parameter: the CPU does it" "$((with > 0))" 1
	is "$parameter: the CPU does it no more" "$without" 0
}

both_ways vmx_no_preemption_timer 52 apic_timer_deadline
if grep -q '^vmx flags.* pml' /proc/cpuinfo; then
	both_ways vmx_no_pml 62 'dirty_log*'
else
	skip vmx_no_pml 'this CPU has no log of dirty pages'
	both_ways vmx_no_apicv 56 apic_timer apic_regs
fi
if grep -q '^vmx flags.* tsc_scaling' /proc/cpuinfo; then
	load ''
	passes 'TSC scaling' tests/api/build/lmapi tsc-scaled
else
	skip 'TSC scaling' 'this CPU has none'
fi
# Where interrupts are injected, a fault of Bochs does not show (docs/vmx-features.md).
load vmx_no_apicv
passes 'vmx_no_apicv=1: irq_sti*' tests/guest/build/lmtest irq_sti irq_sti_cli
# It counts the stores that were not decoded, and looks at the parameter.
for parameter in '' vmx_no_fast_doorbell; do
	load "$parameter"
	passes "vmx_no_fast_doorbell=${parameter:+1}: doorbells" tests/api/build/lmapi ioeventfd-any
done
# Their absence shows in no exit of its own. Without the two bits, Bochs lets a walk of
# the guest's page table write where the nested one does not: dirty_log_page_tables.
for parameter in vmx_no_vpid vmx_no_ept_ad no_large_pages; do
	load "$parameter"
	passes "$parameter=1" tests/guest/build/lmtest 'ram_*' dirty_log dirty_log_many dirty_log_smp
done
