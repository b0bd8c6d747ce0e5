# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts here: where things are, and how to speak and to die.
# shellcheck shell=sh disable=SC2034

# A caller in another directory sets $top before sourcing this.
top=${top:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
cache=${LAMINA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lamina}
name=${0##*/}

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
