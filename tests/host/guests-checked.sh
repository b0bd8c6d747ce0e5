#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tiny guests once more, with each entry checked: clean bits, cached state
# and a model of the TLB, and the code that uses decode assists, which this CPU
# lacks. Then those with most flushes, each of which takes another ASID; there
# are 16. A complaint in the kernel's log fails the test.
# host: --smp 2 --mem 1G
# add: tests/guest/build/lmtest
# module: debug_assists=1 debug_state=1 debug_tlb=1
# timeout: 400

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
tests/guest/build/lmtest "$@" || :

rmmod lamina
insmod /lib/lamina.ko debug_state=1 debug_tlb=1 svm_no_flushbyasid=1
tests/guest/build/lmtest 'ram*' 'slot*' 'tlb*' 'smp*' | sed 's/^\(ok\|skip\|not ok\) /&by another ASID: /'
