#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The instruction decoder and executor in user space. Prints "ok NAME" or "not ok NAME - why".
# Usage: insn.sh [SEED]
set -u
cd "$(dirname "$0")/../insn" || exit 1
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
seed=${1:-20240611}

if ! make -s OUT="$out" >"$out/log" 2>&1 || grep -q warning "$out/log"; then
	sed 's/^/# /' "$out/log"
	echo "not ok insn_build - does not compile without warnings"
	exit 1
fi
echo "ok insn_build"
status=0
"$out/cases" || status=1
"$out/lengths" 60000 "$seed" || status=1

# The reference is this machine's CPU, interrupts and all: what differs but once is
# the machine's doing. The same seed makes the same cases, so a real fault stays.
"$out/execute" 400000 "$seed" >"$out/log" || {
	sed 's/^/# first run: /' "$out/log"
	"$out/execute" 400000 "$seed" >"$out/log" || status=1
}
cat "$out/log"
exit $status
