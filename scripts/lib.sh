# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts here: where things are, and how to speak and to die.
# shellcheck shell=sh disable=SC2034

# A caller in another directory sets $top before sourcing this.
top=${top:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
cache=${LAMINA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lamina}
name=${0##*/}

# Without what a kernel tests of itself a boot is shorter.
no_self_tests='cryptomgr.notests initcall_blacklist=load_system_certificate_list,init_kprobe_trace'
# With this a third of the instructions is left: for the emulated Intel CPU, which is slow,
# and for guests there. (Page tables for user space alone and rodata=off together make the
# kernel complain.)
quick_boot="$no_self_tests rodata=off mitigations=off nowatchdog"

say() {
	printf '%s: %s\n' "$name" "$*" >&2
}

die() {
	say "$@"
	exit 1
}

# The comment block at the top of a script is its help text.
usage() {
	sed -n '/^# Usage/,/^[^#]/s/^# \{0,1\}//p' "$0"
}

# Run a command quietly; show what it said only if it fails.
quietly() {
	quiet_log=$(mktemp)
	if "$@" >"$quiet_log" 2>&1; then
		rm -f "$quiet_log"
		return 0
	fi
	cat "$quiet_log" >&2
	rm -f "$quiet_log"
	return 1
}

# A hash over the names and the contents of files, to name cache entries by.
hash_of() {
	sha256sum "$@" | sha256sum | cut -c1-16
}

# The newest kernel for which there is an image: the running one if possible.
default_kernel() {
	if [ -e "/boot/vmlinuz-$(uname -r)" ]; then
		uname -r
		return
	fi
	for image in /boot/vmlinuz-*; do
		[ -e "$image" ] && printf '%s\n' "${image#/boot/vmlinuz-}"
	done | sort -V | tail -n 1
}

# put_modules FROM TREE: copy kernel modules and all that they depend on from a directory
# /lib/modules/VERSION into a tree for an archive. Their names are the standard input.
put_modules() {
	[ -e "$1/modules.dep" ] || return 0
	to=$2/lib/modules/${1##*/}
	mkdir -p "$to"
	cp "$1/modules.builtin" "$to/" 2>/dev/null || :
	grep -v '^#' | tr - _ | while read -r module; do
		# Lines are "kernel/a/b-c.ko: its dependencies".
		pattern=$(printf %s "$module" | sed 's/_/[-_]/g')
		sed -n "/^[^:]*\/$pattern\.ko:/s/://p" "$1/modules.dep"
		grep "^alias [^ ]* $module\$" "$1/modules.alias" >>"$to/modules.alias" || :
	done | tr ' ' '\n' | sort -u | while read -r file; do
		[ -n "$file" ] || continue
		mkdir -p "$to/${file%/*}"
		# Without their signatures, which nobody checks, but at great length.
		strip -g -o "$to/$file" "$1/$file"
		grep "^$file:" "$1/modules.dep" >>"$to/modules.dep"
	done
}

# archive TREE: as an initramfs, on standard output
archive() {
	(cd "$1" && find . -mindepth 1 | sort |
		cpio --quiet -o -H newc -R 0:0 --reproducible)
}

# libraries PATH: the shared ones of a program, or of all programs and libraries in a directory
libraries() {
	find -L "$1" -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null |
		sed -n 's/^[^/]*\(\/[^ :]*\) (0x.*/\1/p' | sort -u
}
