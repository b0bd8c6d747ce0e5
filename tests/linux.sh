# SPDX-License-Identifier: GPL-2.0-only
# Helpers for tests that boot Debian's kernel as a guest, sourced after lib.sh in
# an emulated host that has --guest-kernel.
# shellcheck shell=sh disable=SC2034,SC2154

# What a guest may take. Only a guest that hangs needs all of it.
PATIENCE=${PATIENCE:-240}
COMPLAINTS='BUG|WARNING: |Oops|Call Trace|unchecked MSR|not responding|nobody cared'
COMPLAINTS="$COMPLAINTS|[Ss]tall|soft lockup|unstable|failed to|IO-APIC.*bug"
work=/tmp/linux-guests
mkdir -p "$work"

# What the host leaves out of its boot ($quick_boot in scripts/lib.sh), guests leave out as well.
quick=$(tr ' ' '\n' </proc/cmdline | sort -u |
	grep -E '^(cryptomgr|initcall_blacklist|rodata|nowatchdog|mitigations)' | tr '\n' ' ')

# How many CPUs a guest gets. In Bochs a guest with two on one of the host's may hang at boot
# (docs/vmx-features.md).
smp=2
[ "$LAMINA_HOST" != intel ] || smp=1

# Linux prefers a TSC that is promised to be constant, which only Bochs promises.
clock=kvm-clock
! grep -qw nonstop_tsc /proc/cpuinfo || clock=tsc

# initrd NAME [FILE]...: make an initrd whose /job is this function's standard
# input, with the files beside it; its path is left in $initrd. A guest that was
# given lm.run=sh+/job runs it. In it, "complaints" prints the lines of the kernel
# log that no sound machine has, and "obey" does what "tell" says, up to an empty line.
initrd() {
	initrd=$work/$1.cpio
	shift
	rm -rf "$work/tree"
	mkdir "$work/tree"
	[ $# -eq 0 ] || cp "$@" "$work/tree"
	{
		echo 'complaints() {'
		echo "dmesg | grep -E '$COMPLAINTS' | grep -vE 'Speculative Return|TSCs unsynchronized|Installing'"
		echo '}'
		echo 'obey() {'
		echo 'echo "job: ready"'
		# shellcheck disable=SC2016 # for the guest
		echo 'while read -r line && [ "$line" ]; do eval "$line"; done'
		echo '}'
		cat
	} >"$work/tree/job"
	{
		cat /guest/initrd
		(cd "$work/tree" && find . -mindepth 1 | cpio -o -H newc 2>/dev/null)
	} >"$initrd.new"
	# In place: a guest that starts again has it open.
	cat "$initrd.new" >"$initrd"
	rm "$initrd.new"
}

# guest [OPTION]...: boot one to its end, with $initrd. What it said is in $text,
# its exit status in $status.
guest() {
	status=0
	timeout "$PATIENCE" lamina run --kernel "${kernel:-/guest/vmlinux}" \
		--initrd "${initrd:-/guest/initrd}" \
		--append "console=ttyS0 quiet $quick${words:-lm.run=sh+/job}" "$@" \
		</dev/null >"$work/out" 2>&1 || status=$?
	text=$(tr -d '\r' <"$work/out")
}

# start NAME [OPTION]...: boot one in the background; see $NAME_pid. It ends when
# it is told to by "finish", if its job waits for a line on its console.
start() {
	id=$1
	shift
	rm -f "$work/$id.in" "$work/$id.out"
	mkfifo "$work/$id.in"
	# Both ends are held by a sleeper, so that nobody sees the end of the input.
	sleep 100000 <>"$work/$id.in" &
	eval "${id}_holder=$!"
	lamina run --name "$id" --kernel "${kernel:-/guest/vmlinux}" \
		--initrd "${initrd:-/guest/initrd}" \
		--append "console=ttyS0 quiet $quick${words:-lm.run=sh+/job}" "$@" \
		<"$work/$id.in" >"$work/$id.out" 2>&1 &
	eval "${id}_pid=$!"
}

# says NAME PATTERN: did the guest print such a line?
says() {
	tr -d '\r' <"$work/$1.out" | grep -qE -e "$2"
}

# said_or_gone NAME PATTERN PID: it will print no more if it has ended
said_or_gone() {
	says "$1" "$2" || gone "$3"
}

# running NAME PATTERN: wait until the guest prints it
running() {
	eval "runner=\$${1}_pid"
	wait_for "$PATIENCE" said_or_gone "$1" "$2" "$runner"
	if ! says "$1" "$2"; then
		not_ok "guest $1 says $2"
		diag "$(tail -n 20 "$work/$1.out")"
		return 1
	fi
}

# tell NAME COMMAND: have a guest run it whose job calls "obey"
tell() {
	printf '%s\n' "$2" >"$work/$1.in"
}

# finish NAME: tell the guest to end and wait for it; as after "guest".
finish() {
	eval "pid=\$${1}_pid holder=\$${1}_holder"
	echo >"$work/$1.in"
	status=0
	wait_for "$PATIENCE" gone "$pid" || kill -9 "$pid"
	wait "$pid" || status=$?
	kill "$holder" 2>/dev/null
	wait "$holder" 2>/dev/null
	text=$(tr -d '\r' <"$work/$1.out")
}

# gone PID: has this process ended (perhaps not yet been waited for)?
gone() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

# drop NAME: kill the guest at once
drop() {
	eval "pid=\$${1}_pid holder=\$${1}_holder"
	kill -9 "$pid" "$holder" 2>/dev/null
	wait "$pid" "$holder" 2>/dev/null
	:
}

# worker MEBIBYTES: an initrd whose job is tests/linux/lmwork: see there. Needs
# "# add: tests/linux/build/lmwork".
worker() {
	initrd worker tests/linux/build/lmwork <<-END
		exec /lmwork $1
	END
	words=''
}

last_report() {
	tr -d '\r' <"$work/$1.out" | sed -n 's/^\(work: [0-9]* bad .*\) end$/\1/p' | tail -n 1
}

newer_report() {
	[ "$(last_report "$1")" != "$report" ]
}

# report GUEST: ask a worker for one and leave it in $report
report() {
	report=$(last_report "$1")
	echo >"$work/$1.in"
	wait_for "$PATIENCE" newer_report "$1" || return 1
	report=$(last_report "$1")
}

# further REPORT REPORT: has every CPU done something in between?
further() {
	printf '%s\n' "$@" | awk '
		{ for (i = 8; i <= NF; i++) $i > a[i] ? n++ : 0; for (i = 8; i <= NF; i++) a[i] = $i }
		END { exit n != 2 * (NF - 7) || NF < 8 }'
}

# works GUEST NAME: every CPU of a worker gets on, its memory and clock are right
works() {
	first_report='' n_reports=0
	while report "$1" && [ $n_reports -lt 100 ]; do
		: "${first_report:=$report}"
		if ! echo "$report" | grep -q ' bad 0 back 0 '; then
			break
		elif further "$first_report" "$report"; then
			ok "$2"
			return
		fi
		n_reports=$((n_reports + 1))
		sleep 0.2
	done
	not_ok "$2" "first '$first_report', then '$report'"
	diag "$(tail -n 20 "$work/$1.out")"
	return 1
}

# retire GUEST NAME: a worker ends, and all its memory was right
retire() {
	echo end >"$work/$1.in"
	finish "$1"
	is "$2: status" "$status" 0
	like "$2: memory and clock" "$text" '^work: [0-9]+ bad 0 back 0 rounds( [1-9][0-9]*)+ end$'
	like "$2: the job's status" "$text" '^guest: status 0$'
}

# lines TEXT PATTERN: how many match
lines() {
	printf '%s\n' "$1" | grep -cE -e "$2"
}

# refs: how many users the module has
refs() {
	cat /sys/module/lamina/refcnt
}

# sum [FILE]: its checksum alone
sum() {
	md5sum "$@" | cut -d ' ' -f 1
}

# refused STATUS NAME PATTERN WORD...: lamina says no, in one clear line
refused() {
	wanted=$1 name=$2 pattern=$3
	shift 3
	exits "$wanted" "$name" lamina "$@"
	like "$name: what it says" "$output" "$pattern"
	is "$name: one line" "$(lines "$output" '^lamina')" 1
}

# no_guest STATUS NAME PATTERN OPTION...: refused, by "lamina run"
no_guest() {
	wanted=$1 name=$2 pattern=$3
	shift 3
	refused "$wanted" "$name" "$pattern" run --kernel /guest/vmlinux "$@"
}

# The shell here is busybox, which prefers its own.
if [ -x /usr/local/sbin/ip ]; then
	ip() {
		/usr/local/sbin/ip "$@"
	}
fi

# bridge_up ADDRESS [OPTION]...: the bridge of guests, lmbr, with the host's address; options are for ip
bridge_up() {
	address=$1
	shift
	ip "$@" link add lmbr type bridge
	ip "$@" addr add "$address" dev lmbr
	ip "$@" link set lmbr up
}
