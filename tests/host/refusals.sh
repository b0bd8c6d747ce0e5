#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A CPU without what the module needs: it refuses to load, and says the same as lamina
# check, with the way out.
# host: --mem 1G
# add: user/lamina:/bin/lamina
# on: intel intel-no-ept intel-no-unrestricted
# module: no
# timeout: 120

. tests/lib.sh

modprobe msr
report=$(lamina check)
status=$?
features=$(grep -m 1 '^vmx flags' /proc/cpuinfo)
like 'check: the CPU' "$report" '^ok +cpu +.*: VMX$'
like 'check: the firmware' "$report" '^ok +firmware +does not lock it$'
rmmod msr
is 'check: the same without the MSR' "$(lamina check)" "$report"

# needed FLAG NAME WHAT
needed() {
	case "$features " in
	*" $1 "*)
		like "check: $2" "$report" "^ok +$2 "
		;;
	*)
		way="a newer CPU is needed, or $1=1 in the outer hypervisor"
		like "check: no $2" "$report" "^fail +$2 +not there$"
		like "check: the way out without $2" "$report" "way out: $way\$"
		is 'check: not fit' "$status" 1
		[ -z "$missing" ] || return 0
		missing=$1
		exits 95 "the module refuses without $2" insmod /lib/lamina.ko
		like "the module says so, and the way out" "$(dmesg)" "lamina: .*lacks $3, .*: $way\$"
		;;
	esac
}

missing=''
needed ept nested-paging EPT
needed unrestricted_guest unrestricted 'unrestricted guest'
if [ -z "$missing" ]; then
	is 'check: fit' "$status" 0
	passes 'the module loads' insmod /lib/lamina.ko
fi
like 'check: JSON' "$(lamina check --json)" '"name": *"nested-paging"'
