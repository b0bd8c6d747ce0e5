#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# scripts/host tells apart what happened in the emulated host: tests rely on it.

. tests/lib.sh


exits 7 'the status of a command' scripts/host --no-module -- exit 7
# shellcheck disable=SC2016 # for the shell there, not for this one
exits 0 'its arguments and its output' scripts/host --no-module -- \
	printf '%s|' "a b" "c'd" '$HOME'
is 'arguments arrive unchanged' "$output" "a b|c'd|\$HOME|"

exits 101 'a panic' scripts/host --no-module -- 'echo c >/proc/sysrq-trigger'
like 'a panic is named' "$output" '^host: the kernel crashed'
exits 101 'a line in the kernel log that tells of a bug' \
	scripts/host --no-module -- \
	'echo "WARNING: CPU: 0 PID: 1 at nowhere" >/dev/kmsg; exit 0'
exits 102 'a hang' scripts/host --no-module --timeout 8 -- sleep 1000
exits 103 'a silent end' scripts/host --no-module -- 'poweroff -f'
exits 105 'a missing file' scripts/host --no-module --add /nonexistent -- true
exits 105 'an unknown option' scripts/host --frobnicate
exits 105 'no Intel yet' scripts/host --cpu intel -- true
like 'no Intel yet, in words' "$output" 'not yet'

# shellcheck disable=SC2016
exits 0 'CPUs and memory' scripts/host --no-module --smp 3 --mem 512M -- \
	'nproc; awk "/MemTotal/ { print \$2 }" /proc/meminfo'
like 'three CPUs' "$output" '^3$'
like 'half a gigabyte' "$output" '^4[0-9]{5}$'

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
