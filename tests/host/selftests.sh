#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The kernel's own tests of KVM, those that take seconds, on /dev/kvm as the module
# provides it. docs/kvm-selftests.md has all of them, and KVM's own results.
# host: --smp 2 --mem 2G
# add: build/selftests:/selftests
# add: /lib/x86_64-linux-gnu/libgcc_s.so.1:/lib/x86_64-linux-gnu/libgcc_s.so.1
# module: dev_kvm=1
# on: amd
# long: intel
# timeout: 300

. tests/lib.sh

# Each with a limit of its own: one that hangs must not take the others along.
limit=20
tests='cpuid_test cr4_cpuid_sync_test get_msr_index_features kvm_binary_stats_test kvm_clock_test
	kvm_pv_test max_vcpuid_cap_test monitor_mwait_test platform_info_test set_boot_cpu_id
	set_sregs_test state_test sync_regs_test system_counter_offset_test tsc_msrs_test
	userspace_msr_exit_test userspace_io_test fix_hypercall_test'
long_tests='set_memory_region_test xapic_ipi_test xapic_state_test kvm_create_max_vcpus
	kvm_page_table_test memslot_perf_test memslot_modification_stress_test
	access_tracking_perf_test dirty_log_perf_test demand_paging_test max_guest_memory_test
	hardware_disable_test'
# QEMU has no intercept for INT3.
[ "$LAMINA_HOST" != intel ] || tests="$tests debug_regs"
if [ -n "${LONG:-}" ]; then
	limit=600
	tests="$tests $long_tests"
fi
cd /selftests || exit 1
for test in $tests; do
	timeout -s KILL $limit "./$test" >/tmp/output 2>&1 </dev/null
	status=$?
	case $status in
	0) ok "$test" ;;
	4)
		why=$(sed -n 's/.*SKIP - //p' /tmp/output | head -n 1)
		# It says so also where /dev/kvm or a capability is missing.
		if printf '%s' "$long_tests" | grep -qw "$test"; then
			skip "$test" "$why"
		else
			not_ok "$test" "skipped: $why"
		fi
		;;
	*)
		not_ok "$test" "status $status"
		diag "$(head -n 20 /tmp/output)"
		;;
	esac
done
