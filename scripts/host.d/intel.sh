# SPDX-License-Identifier: GPL-2.0-only
# Sourced by scripts/host: an Intel machine, in Bochs. Sets the positional parameters
# to the command that runs it.
# shellcheck shell=sh disable=SC2086,SC2154 # several words; variables of host

# Bochs 2.7 hangs with two CPUs, and disagrees with itself about the size of AVX-512's
# state.
: "${model:=corei7_haswell_4770}" "${smp:=1}"
case $smp:$model in
1:corei7_haswell_4770) : "${bochs:=2.7}" ;;
*) : "${bochs:=3.0}" ;;
esac
case $bochs:$smp in
2.7:1|3.0:*) ;;
2.7:*) die 'Bochs 2.7 runs one CPU only; --bochs 3.0 runs more' ;;
*) die "--bochs is 2.7 or 3.0, not $bochs" ;;
esac
emulator=$("$top/scripts/get-emulator" "bochs-$bochs") || exit 105

case $mem in
*[!0-9]*G|*[!0-9]*M|*[!0-9GM]*|'') die "--mem $mem: not a size such as 1G or 1536M" ;;
*G) megabytes=$((${mem%G} * 1024)) ;;
*) megabytes=${mem%M} ;;
esac

machine=$adds/machine
mkdir "$machine"

# The disk holds what belongs into memory from 16 MiB on: the flat kernel and, after
# the end of its .bss, the initrd.
objcopy -O binary "$image" "$machine/disk"
base=$((0xffffffffff)) end=0 entry=$(readelf -hW "$image" | sed -n 's/.*Entry point.*: *//p')
for segment in $(readelf -lW "$image" | awk '$1 == "LOAD" { print $4 ":" $6 }'); do
	start=$((${segment%:*})) stop=$((${segment%:*} + ${segment#*:}))
	[ "$base" -le "$start" ] || base=$start
	[ "$end" -ge "$stop" ] || end=$stop
done
end=$(((end + 0x1fffff) & ~0x1fffff))
truncate -s $((end - base)) "$machine/disk"
cat "$adds/initrd" >>"$machine/disk"
sectors=$((($(stat -c %s "$machine/disk") + 511) / 512))
# Whole cylinders, since Bochs counts in them.
truncate -s %$((16 * 63 * 512)) "$machine/disk"

# Time in the machine goes by instructions: with this many a second sleeps end early
# enough and ticks are rare enough. The kernel cannot find out, since some models claim
# another rate.
ips=50000000
# reboot=t: only a triple fault ends Bochs. idle=halt: with two CPUs, a write to what
# MWAIT watches does not always wake it. Nothing is measured or tested by what
# $quick_boot switches off.
cmdline="nokaslr reboot=t idle=halt tsc_early_khz=$((ips / 1000)) $quick_boot $cmdline"
{
	cc -c -o "$machine/boot.o" -DIMAGE="$base" -DSECTORS="$sectors" -DENTRY="$entry" \
		-DINITRD="$end" -DINITRD_SIZE="$(stat -c %s "$adds/initrd")" \
		-DCMDLINE="\"$cmdline\"" "$top/scripts/host.d/boot.S" &&
	ld -m elf_x86_64 -N -Ttext=0xc8000 --oformat=binary \
		-o "$machine/rom" "$machine/boot.o"
} || die 'no boot loader'
# The BIOS wants the sum of all bytes to be 0; the last one is there for that.
sum=$(od -An -v -tu1 "$machine/rom" |
	awk '{ for (i = 1; i <= NF; i++) n += $i } END { print (256 - n % 256) % 256 }')
truncate -s -1 "$machine/rom"
# shellcheck disable=SC2059 # the escape is the format
printf "\\$(printf %o "$sum")" >>"$machine/rom"
head -c 512 /dev/zero >"$machine/no-vga"

serial='mode=file, dev=/dev/fd/3'
[ -z "$tty" ] || serial='mode=term, dev=/dev/tty'
cat >"$machine/bochsrc" <<END
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=$model, count=$smp, ips=$ips, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=$megabytes, host=$megabytes
romimage: file=\$BXSHARE/BIOS-bochs-latest, options=fastboot
vgaromimage: file=$machine/no-vga
optromimage1: file=$machine/rom, address=0xc8000
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=$machine/disk, mode=flat, cylinders=0, heads=16, spt=63
clock: sync=none, time0=utc
com1: enabled=1, $serial
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
port_e9_hack: enabled=1
log: $log/bochs.log
panic: action=fatal
error: action=report
END
# Bochs 2.7 in Debian has a debugger, which waits for a command.
if [ "$bochs" = 2.7 ]; then
	echo 'plugin_ctrl: unmapped=1' >>"$machine/bochsrc"
	echo c >"$machine/go"
	emulator="$emulator -rc $machine/go"
fi
run="$emulator -q -f $machine/bochsrc </dev/null 2>$log/emulator.log 3>&1 >$log/kernel.log"
if [ -n "$tty" ]; then
	# Bochs makes the terminal raw; Ctrl-] is put back in as what interrupts.
	set -- script -qefc "(sleep 2; stty isig intr ^] quit undef susp undef </dev/tty) &
		exec $run" "$log/console.log"
else
	set -- sh -c "$run | tee $log/console.log"
fi

# Its status is always 1.
ended() {
	grep -q 'Shutdown port: shutdown requested' "$log/bochs.log"
}

show_cpus() {
	tail -n 20 "$log/bochs.log" >"$log/cpus.log"
}
