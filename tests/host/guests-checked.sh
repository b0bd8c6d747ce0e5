#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tiny guests once more, with each entry checked: what is cached of the control
# block, the manual's rules for a VMCS, clean bits, a model of the TLB; and the code
# that uses SVM's decode assists, which the emulated CPU lacks. Then those with most
# flushes, each of which takes another ASID (there are 16) or has no VPID to name. A
# complaint in the kernel's log fails the test.
# host: --smp 2 --mem 1G
# add: tests/guest/build/lmtest
# on: amd intel
# module: debug_assists=1 debug_state=1 debug_tlb=1 vmx_check=1
# timeout: 400

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
without_bochs_faults
set -f
# shellcheck disable=SC2086 # several words
tests/guest/build/lmtest "$@" -- $without || :

rmmod lamina
insmod /lib/lamina.ko debug_state=1 debug_tlb=1 svm_no_flushbyasid=1 vmx_no_vpid=1
# shellcheck disable=SC2086 # several words
tests/guest/build/lmtest -- $without 'ram*' 'slot*' 'tlb*' 'smp*' |
	sed 's/^\(ok\|skip\|not ok\) /&by another tag: /'
