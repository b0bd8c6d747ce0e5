# SPDX-License-Identifier: GPL-2.0-only
# Helpers for test scripts, sourced as ". tests/lib.sh" both on the build machine
# and in an emulated host. Each test prints one line: "ok NAME",
# "not ok NAME - WHY" or "skip NAME - WHY"; scripts/check counts them.
# shellcheck shell=sh disable=SC2034

ok() {
	echo "ok $1"
}

not_ok() {
	echo "not ok $1${2:+ - $2}"
}

skip() {
	echo "skip $1${2:+ - $2}"
}

# Lines that say more about a failure.
diag() {
	printf '%s\n' "$@" | sed 's/^/# /'
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got '$2', not '$3'"
	fi
}

# like NAME TEXT PATTERN: some line of TEXT matches the extended expression
like() {
	if printf '%s\n' "$2" | grep -qE -e "$3"; then
		ok "$1"
	else
		not_ok "$1" "nothing matches '$3'"
		diag "$2"
	fi
}

# unlike NAME TEXT PATTERN: no line of TEXT matches
unlike() {
	if printf '%s\n' "$2" | grep -qE -e "$3"; then
		not_ok "$1" "something matches '$3'"
		diag "$2"
	else
		ok "$1"
	fi
}

# passes NAME COMMAND...: COMMAND exits with 0
passes() {
	exits 0 "$@"
}

# exits STATUS NAME COMMAND...: COMMAND exits with STATUS; $output is what it said
exits() {
	wanted=$1 test_name=$2
	shift 2
	output=$("$@" 2>&1 </dev/null)
	got=$?
	if [ "$got" -eq "$wanted" ]; then
		ok "$test_name"
	else
		not_ok "$test_name" "status $got, not $wanted"
		diag "$output"
	fi
}

# wait_for SECONDS COMMAND...: try COMMAND until it succeeds
wait_for() {
	tries=$(($1 * 10 / tick))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.$tick
	done
}

# What differs between the vendors' hosts: KVM's module, what it virtualises with, and
# after how many tenths of a second to look again at what is waited for (in Bochs to
# look takes half of one).
case ${LAMINA_HOST:-} in
intel) kvm=kvm_intel extensions=VMX tick=5 ;;
*) kvm=kvm_amd extensions=SVM tick=1 ;;
esac

# brief: is this a run of minutes on the emulated Intel CPU, which is slow? (Not make
# check-long.)
brief() {
	[ "$LAMINA_HOST" = intel ] && [ -z "${LONG:-}" ]
}

# lets_xsetbv_through: is this emulator QEMU before 9? There a guest's XSETBV changes
# the host's XCR0, so XSAVE must be hidden from guests.
lets_xsetbv_through() {
	case $(cat /sys/class/dmi/id/product_version 2>/dev/null) in
	*-[1-7].*) ;;
	*) return 1 ;;
	esac
}

# without_bochs_faults: name the tiny guests that faults of Bochs break; $without
# then has lmtest leave them out. docs/vmx-features.md has the proofs.
without_bochs_faults() {
	without=''
	[ "$LAMINA_HOST" = intel ] || return 0
	for name in loop_cli r16_loop smp_all_loop loop_cpuid; do
		skip $name 'Bochs: no interrupt ends a guest that was entered with IF clear'
		without="$without -$name"
	done
	skip exc_fresh_idt 'Bochs: an EPT violation loses a virtual interrupt'
	skip step_mmio 'Bochs: an EPT violation saves a single step'
	for name in irq_sti irq_sti_cli; do
		skip $name 'Bochs: an interrupt of the host lets a virtual one in despite IF; see vmx-features'
		without="$without -$name"
	done
	without="$without -exc_fresh_idt -step_mmio"
}

# swap_on SIZE: something to swap to; swapoff /dev/zram0 ends it
swap_on() {
	modprobe zram 2>/dev/null &&
		echo "$1" >/sys/block/zram0/disksize &&
		mkswap /dev/zram0 >/dev/null &&
		swapon /dev/zram0
}

# pinned: how many pages the kernel holds for devices
pinned() {
	# The counters are each CPU's; this brings them together.
	cat /proc/sys/vm/stat_refresh >/dev/null 2>&1 || sleep 3
	awk '/^nr_foll_pin_(acquired|released) / { n = $2 - n } END { print n + 0 }' /proc/vmstat
}

# no_leaks NAME: kmemleak (in the debug kernel) finds nothing that is lost. It
# looks only at what is older than five seconds, and twice to be sure.
no_leaks() {
	if [ ! -e /sys/kernel/debug/kmemleak ]; then
		skip "$1" 'this kernel has no kmemleak'
		return
	fi
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	leaks=$(cat /sys/kernel/debug/kmemleak)
	if [ -z "$leaks" ]; then
		ok "$1"
	else
		not_ok "$1" "$(echo "$leaks" | grep -c '^unreferenced') objects"
		diag "$leaks"
	fi
}
