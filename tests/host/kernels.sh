#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Other kernels of Debian's under the module: the tiny guests, and a Linux guest to its
# end. (Exports that are KVM's alone the kernel itself refuses to the module, at load.)
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/guest/build/lmtest
# add: tests/linux.sh
# on: amd-6.12 amd-7
# timeout: 400

. tests/lib.sh
. tests/linux.sh

unlike "not the kernel that all other tests run on: $(uname -r)" "$(uname -r)" '^6\.1\.'

tests/guest/build/lmtest || :

initrd kernels <<'END'
echo "job: complaints $(complaints | head -n 3)"
dd if=/dev/urandom of=/data bs=64k count=64 2>/dev/null
cat /data >/copy
cmp /data /copy && echo 'job: equal'
END
guest --mem 256M --cpus 2
is 'Linux: power-off is status 0' "$status" 0
like 'Linux: CPUs and clock' "$text" "^guest: up cpus=2 mem=[12][0-9]{5}kB clocksource=$clock"
like 'Linux: nothing to complain about' "$text" '^job: complaints $'
like 'Linux: data' "$text" '^job: equal$'

is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
