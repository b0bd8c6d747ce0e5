#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tool, as far as it goes without a hypervisor: what it says to wrong input,
# the readers of kernel images, its devices, the ACPI tables, its manual page.

. tests/lib.sh

out=build/tests-user
lamina=user/lamina
mkdir -p "$out"
export LAMINA_DEVICE=

output=$(make -s -C user 2>&1) || {
	not_ok 'the tool builds'
	diag "$output"
	exit 0
}
is 'the tool builds without a word' "$(printf '%s\n' "$output" |
	grep -E 'warning|error')" ''
if command -v clang >/dev/null; then
	output=$(make -s -C user CC=clang O="$PWD/$out/clang" BIN="$PWD/$out/lamina-clang" 2>&1)
	is 'and with clang' "$(printf '%s\n' "$output" | grep -E 'warning|error')" ''
else
	skip 'and with clang' 'not installed'
fi

# program NAME SOURCE... [-- ARGUMENT]: build a test with the sanitizers and run it
program() {
	name=$1 sources='' argument=''
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		sources="$sources $1"
		shift
	done
	[ $# -eq 0 ] || argument=$2
	# shellcheck disable=SC2086 # several
	if output=$(gcc -std=gnu11 -D_GNU_SOURCE -Iinclude/uapi -Wall -Wextra -g -O1 -pthread \
		-isystem /usr/include/libnl3 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
		-o "$out/$name" $sources 2>&1); then
		"$out/$name" ${argument:+"$argument"} || not_ok "$name: the program" "status $?"
	else
		not_ok "$name: builds"
		diag "$output"
	fi
}

program boot tests/user/boot.c user/boot/*.c user/util.c
program dev tests/user/dev.c user/dev/*.c user/cpuid.c user/util.c user/loop.c
program virtio tests/user/virtio.c user/dev/*.c user/virtio/*.c user/boot/*.c user/util.c user/loop.c

# The sandbox, without the sanitizers, whose system calls it would not let through.
if output=$(gcc -std=gnu11 -D_GNU_SOURCE -Iinclude/uapi -Wall -Wextra -g -O1 -pthread -o "$out/sandbox" \
	tests/user/sandbox.c user/sandbox.c user/util.c 2>&1); then
	"$out/sandbox" || :
else
	not_ok 'sandbox: builds'
	diag "$output"
fi

# The server of shared directories, with a directory to serve.
p9=$(mktemp -d)
program p9 tests/user/p9.c user/virtio/p9.c user/virtio/p9_message.c user/util.c -- "$p9"
rm -rf "$p9"

# number FILE OFFSET BYTES: a little-endian number
number() {
	od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

if command -v iasl >/dev/null; then
	for cpus in 1 2 254; do
		acpi=$out/acpi-$cpus
		"$out/boot" acpi "$cpus" "$acpi"
		is "RSDP with $cpus CPUs" "$(dd if="$acpi" bs=1 count=8 2>/dev/null)" 'RSD PTR '
		# From the RSDP to the XSDT, to the FADT and MADT, to the DSDT and FACS.
		base=917504
		xsdt=$(($(number "$acpi" 24 8) - base))
		fadt=$(($(number "$acpi" $((xsdt + 36)) 8) - base))
		madt=$(($(number "$acpi" $((xsdt + 44)) 8) - base))
		mcfg=$(($(number "$acpi" $((xsdt + 52)) 8) - base))
		dsdt=$(($(number "$acpi" $((fadt + 140)) 8) - base))
		facs=$(($(number "$acpi" $((fadt + 36)) 4) - base))
		for at in "xsdt $xsdt" "facp $fadt" "apic $madt" "mcfg $mcfg" "dsdt $dsdt" \
			"facs $facs"; do
			name=${at% *}
			at=${at#* }
			length=$(number "$acpi" $((at + 4)) 4)
			dd if="$acpi" of="$out/$name.dat" bs=1 skip="$at" count="$length" \
				2>/dev/null
			rm -f "$out/$name.dsl"
			output=$(iasl -d "$out/$name.dat" 2>&1)
			unlike "iasl reads $name with $cpus CPUs" "$output" \
				'[Ee]rror|Incorrect|Invalid|[Ww]arning|should be'
			[ -s "$out/$name.dsl" ] || not_ok "iasl writes $name"
		done
		unlike "checksums with $cpus CPUs" \
			"$(cat "$out"/facp.dsl "$out"/apic.dsl "$out"/mcfg.dsl "$out"/xsdt.dsl)" 'Incorrect checksum'
		is "MADT names $cpus CPUs" \
			"$(grep -c 'Processor Enabled : 1' "$out/apic.dsl")" "$cpus"
		is "DSDT names $cpus CPUs" "$(grep -c 'ACPI0007' "$out/dsdt.dsl")" "$cpus"
		output=$(iasl -oa -p "$out/again" "$out/dsdt.dsl" 2>&1)
		like "DSDT compiles again with $cpus CPUs" "$output" '0 Errors, 0 Warnings'
	done
	like 'FADT: reset register' "$(cat "$out/facp.dsl")" 'Reset Register Supported.*: 1'
	like 'MCFG: the bus' "$(cat "$out/mcfg.dsl")" 'Base Address : 00000000C0000000'
	is 'DSDT: an interrupt for each place' "$(grep -cE '^ *0x00[01][0-9A-F]FFFF' \
		"$out/dsdt.dsl")" 31
	is 'DSDT: each place can be ejected' "$(grep -c 'Method (_EJ0, 1' "$out/dsdt.dsl")" 31
	is 'DSDT: each place comes and goes' "$(grep -cE 'Notify \(S[01][0-9A-F], (One|0x03)\)' \
		"$out/dsdt.dsl")" 62
	like 'FADT: the event block' "$(cat "$out/facp.dsl")" 'GPE0 Block Address : 0000060C'
	like 'MADT: the PIT is on pin 2' "$(grep -A6 'Interrupt Source Override' "$out/apic.dsl")" \
		'Interrupt : 00000002'
else
	skip 'ACPI tables' 'no iasl'
fi

# refused STATUS NAME PATTERN ARG...: lamina ends with STATUS and one clear line
refused() {
	wanted=$1 what=$2 pattern=$3
	shift 3
	exits "$wanted" "$what" "$lamina" "$@"
	like "$what: what it says" "$output" "$pattern"
	[ "$wanted" -ne 1 ] || is "$what: one line" "$(printf '%s\n' "$output" | wc -l)" 1
}

: >"$out/empty"
refused 2 'no verb' '^Usage: lamina VERB'
refused 2 'unknown verb' "no verb 'frob'" frob
refused 2 'no kernel' 'give one with --kernel' run
refused 2 'unknown option' 'unrecognized option' run --frob
refused 2 'one argument too many' 'too much' run --kernel x y
for size in x -1 1X 1M 0 16MM 99999999999999T 16777217K ''; do
	refused 2 "--mem '$size'" 'mem' run --kernel x "--mem=$size"
done
for cpus in 0 255 -1 x 1x ''; do
	refused 2 "--cpus '$cpus'" 'not a number from 1 to 254' run --kernel x "--cpus=$cpus"
done
refused 2 'a name with a slash' 'not a name' run --kernel x --name a/b
refused 2 'an empty name' 'not a name' run --kernel x --name=
refused 1 'too much memory' "more than the host's memory" run --kernel x --mem 1000T
refused 1 'no module' "load the module with 'sudo lamina load'" \
	run --kernel "$out/empty" --device "$PWD/$out/nonexistent"
refused 1 'no hypervisor behind the device' 'does not speak version 12 of the KVM API' \
	run --kernel "$out/empty" --device /dev/null
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	touch "$out/device"
	chmod 600 "$out/device"
	output=$(setpriv --reuid 65534 --clear-groups sh -c \
		"exec $lamina run --kernel x --device $out/device" 2>&1 </dev/null)
	is 'no permission: status' $? 1
	like 'no permission' "$output" 'usermod -aG kvm'
else
	skip 'no permission' 'needs root and setpriv'
fi
refused 2 'load: not a parameter' 'PARAM=VALUE' load frob
refused 1 'load: no such file' 'cannot read the module' load --module /nonexistent
refused 2 'check: an argument' 'too much' check frob
exits 0 'version' $lamina --version
like 'version: what it says' "$output" '^lamina [0-9]+\.'
for verb in run create start list show console stop pause resume kill attach detach balloon events check load unload; do
	exits 0 "help of $verb" $lamina help $verb
	like "help of $verb: what it says" "$output" "^Usage: lamina $verb"
	like "help of $verb: exit statuses" "$output" 'Exit status'
	like "manual: $verb" "$(cat docs/man/lamina.1)" "^\.Ss $verb"
done
output=$($lamina check --json)
status=$?
if command -v python3 >/dev/null; then
	is 'check: JSON agrees with the status' "$(printf '%s' "$output" | python3 -c \
		'import json, sys; print(0 if json.load(sys.stdin)["fit"] else 1)')" "$status"
else
	skip 'check: JSON agrees with the status' 'no python3'
fi
like 'check names the CPU' "$($lamina check)" '^(ok|fail) +cpu '

refused 2 'run --detach: no name' 'needs --name NAME' run --kernel x --detach
refused 2 'create: no name' 'give one, as in' create --kernel x
refused 2 'create: no kernel' 'give one with --kernel' create a
refused 2 'create: not a name' 'is not a name' create a/b --kernel x
refused 2 'create: two names' 'too much' create a b --kernel x
for verb in start console stop pause resume kill show; do
	refused 2 "$verb: no name" 'which guest' $verb
	refused 2 "$verb: two names" 'too much' $verb a b
done
for verb in start console stop pause resume kill; do
	refused 1 "$verb: no module" 'load the module' $verb a --device "$PWD/$out/nonexistent"
	refused 1 "$verb: another hypervisor" 'has no names for guests' $verb a --device /dev/null
done
refused 1 'attach: no module' 'load the module' attach a rng --device "$PWD/$out/nonexistent"
refused 1 'detach: no module' 'load the module' detach a b --device "$PWD/$out/nonexistent"
refused 2 'attach: no kind' "no kind of device 'x'" attach a x
refused 2 'attach: rng takes nothing' 'takes no argument' attach a rng x
refused 2 'balloon: no size' 'how much memory' balloon a
refused 2 'balloon: too little' 'keeps 16M' balloon a 15M
refused 2 'net: a tap as well' 'has no tap and no bridge' run --kernel x --net user,tap=lmtap1
refused 2 'net: a port to nowhere' "'tcp:80' leads nowhere" run --kernel x --net user,forward=tcp:80
refused 2 'net: a protocol' "'sctp:1:2' leads nowhere" run --kernel x --net user,forward=sctp:1:2
refused 2 'net: no port' 'not a number from 1 to 65535' run --kernel x --net user,forward=tcp:0:80
refused 2 'net: too large a port' 'not a number from 1 to 65535' \
	run --kernel x --net user,forward=tcp:8080:65536
refused 2 'net: an address' 'leads nowhere' run --kernel x --net user,forward=tcp:300.0.0.1:8080:80
refused 2 'net: a value' "'user' takes no value" run --kernel x --net user=1
refused 2 'net: ports of a tap' 'forwarded to a network of its own' attach a net tap=lmtap1,forward=tcp:8080:80
refused 2 'share: no tag' 'which directory' run --kernel x --share /tmp
refused 2 'share: an empty tag' "'' is not a tag" run --kernel x --share /tmp:
refused 2 'share: a long tag' 'is not a tag: up to 31' \
	run --kernel x --share /tmp:a123456789012345678901234567890123
refused 2 'share: a word' 'is not a tag' attach a share /tmp:a,frob
refused 2 'share: nothing' 'which directory' attach a share
refused 2 'console: what is that' "only 'virtio'" run --kernel x --console x
refused 2 'detach: no device' 'which device' detach a
refused 2 'stop: timeout' 'not a number' stop --timeout x a
refused 2 'events: count' 'not a number' events --count 0
refused 2 'list: an argument' 'too much' list a
refused 2 'events: an argument' 'too much' events a

for option in $($lamina run --help | grep -oE -e '--[a-z-]+' | sort -u); do
	case $option in
	--help | --usage) continue ;;
	esac
	like "manual: run $option" "$(cat docs/man/lamina.1)" "Fl -${option#--}( |\$)"
	like "completion: run $option" "$(grep 'run) words' user/completion/lamina)" "$option( |')"
done
if command -v mandoc >/dev/null; then
	is 'mandoc finds nothing' "$(mandoc -T lint -W warning docs/man/lamina.1 2>/dev/null)" ''
else
	skip 'mandoc finds nothing' 'not installed'
fi
