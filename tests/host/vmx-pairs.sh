#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Intel hosts without features that the module can do without: parameters turn them
# off, in rows that show each pair of them both off, one off, and none off. In each
# row run the tiny guests that touch on them, with every entry checked. (The log of
# dirty pages is in the CPU of intel-pml alone.)
# host: --smp 2 --mem 1G
# add: tests/guest/build/lmtest
# on: intel
# long: intel2
# timeout: 300

. tests/lib.sh

one='hello cr4_pge_flush cr8_tpr apic_regs apic_timer apic_timer_deadline x2apic_timer
	irq_self_ipi irq_priority irq_sti_hlt slot_move dirty_log ram_dontneed'
more='smp_start2 ipi_xapic tlb_shootdown'

# row PARAMETER...: set these
row() {
	rmmod lamina
	params='' set=''
	for name; do
		params="$params $name=1" set="$set Y"
	done
	# shellcheck disable=SC2086 # several words
	passes "load with$params" insmod /lib/lamina.ko vmx_check=1 $params
	is 'they are set' "$(for name; do
		printf ' %s' "$(cat /sys/module/lamina/parameters/"$name")"
	done)" "$set"
	guests="$one $more"
	# One host CPU and no exit for PAUSE: who waits for another never ends on Bochs.
	case $params in
	*no_ple*) guests=$one ;;
	esac
	# shellcheck disable=SC2086 # several words
	tests/guest/build/lmtest $guests | sed "s/^\(ok\|skip\|not ok\) \([^ ]*\)/&:$params:$params/"
}

row vmx_no_vpid vmx_no_apicv vmx_no_ept_ad vmx_no_ple vmx_no_preemption_timer no_large_pages vmx_no_pml
row vmx_no_vpid vmx_no_preemption_timer no_large_pages
row vmx_no_vpid vmx_no_apicv vmx_no_pml
row vmx_no_apicv vmx_no_ept_ad no_large_pages
row vmx_no_ept_ad vmx_no_ple
row vmx_no_ple vmx_no_preemption_timer vmx_no_pml
