#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# scripts/host tells apart what happened in the emulated host: tests rely on it.

. tests/lib.sh

# told_apart CPU SECONDS: what a command, or the end of the machine, comes out as
told_apart() {
	cpu=$1 limit=$2
	set -- scripts/host --cpu "$cpu" --no-module
	# shellcheck disable=SC2016 # for the shell there, not for this one
	exits 7 "$cpu: the status of a command" "$@" -- \
		sh -c 'printf "%s|" "$@"; seq 3000; exit 7' x "a b" "c'd" '$HOME'
	like "$cpu: its arguments" "$output" "^a b\|c'd\|\\\$HOME\|1$"
	is "$cpu: all of its output" "$(echo "$output" | tail -n 1)" 3000

	exits 101 "$cpu: a panic" "$@" -- 'echo c >/proc/sysrq-trigger'
	like "$cpu: a panic is named" "$output" '^host: the kernel crashed'
	exits 101 "$cpu: a line in the kernel log that tells of a bug" "$@" -- \
		'echo "WARNING: CPU: 0 PID: 1 at nowhere" >/dev/kmsg; exit 0'
	exits 102 "$cpu: a hang" "$@" --timeout "$limit" -- sleep 100000
	exits 103 "$cpu: a silent end" "$@" -- 'poweroff -f'
}

told_apart amd 8
told_apart intel 30

exits 105 'a missing file' scripts/host --no-module --add /nonexistent -- true
exits 105 'an unknown option' scripts/host --frobnicate
exits 105 'a CPU of neither' scripts/host --cpu z80 -- true
exits 105 'two CPUs in the Bochs that hangs' \
	scripts/host --cpu intel --bochs 2.7 --smp 2 --no-module -- true
like 'which Bochs has more' "$output" '3\.0'

# shellcheck disable=SC2016
exits 0 'CPUs and memory' scripts/host --no-module --smp 3 --mem 512M -- \
	'nproc; awk "/MemTotal/ { print \$2 }" /proc/meminfo'
like 'three CPUs' "$output" '^3$'
like 'half a gigabyte' "$output" '^4[0-9]{5}$'

# shellcheck disable=SC2016
exits 0 'intel: CPUs and memory' scripts/host --cpu intel --no-module --smp 2 --mem 512M -- \
	'nproc; awk "/MemTotal/ { print \$2 }" /proc/meminfo'
like 'intel: two CPUs' "$output" '^2$'
like 'intel: half a gigabyte' "$output" '^4[0-9]{5}$'

# Both ends of a short stretch of code read the same clock: it counts instructions.
program=build/icount
mkdir -p build
cat >"$program.c" <<-'END'
	#include <stdio.h>
	#include <x86intrin.h>
	int main(void)
	{
		unsigned long long best = ~0ull;

		for (int i = 0; i < 100; i++) {
			unsigned long long start = __rdtsc();

			for (volatile int j = 0; j < 100000; j++)
				;
			start = __rdtsc() - start;
			if (start < best)
				best = start;
		}
		printf("%llu\n", best);
		return 0;
	}
END
cc -O1 -static -o "$program" "$program.c"
for run in 1 2; do
	exits 0 "instruction counts, run $run" scripts/host --no-module --icount \
		--add "$program:/icount" -- /icount
	[ "$run" = 2 ] || first=$output
done
is 'instruction counts repeat' "$output" "$first"
rm -f "$program" "$program.c"
