# SPDX-License-Identifier: GPL-2.0-only
# Sourced after lib.sh by scripts that fetch packages from one of Debian's suites and unpack
# them into the cache. This machine's own apt sources and lists stay as they are.
# shellcheck shell=sh disable=SC2154 # variables of lib.sh

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror this machine uses already, in either of apt's two formats.
mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
		/etc/apt/sources.list.d/*.sources 2>/dev/null |
		sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' \
			-e 's/^deb  *\(\[[^]]*\]\)\{0,1\} *\([^ ]*\) .*/\2/p' |
		grep -v security | head -n 1
}

# apt_private TOOL ARGUMENT...: apt-get or apt-cache with the lists in $apt
apt_private() {
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist="$apt/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists" \
		-o Dir::Cache::archives="$apt/archives" -o Dir::Cache::pkgcache= \
		-o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 "$@"
}

# suites DIRECTORY SUITE...: fetch the lists of these suites into a directory, $apt
suites() {
	apt=$1
	shift
	rm -rf "$apt"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	for suite; do
		echo "deb [signed-by=$keyring] $(mirror) $suite main"
	done >"$apt/sources.list"
	apt_private apt-get update -o APT::Update::Error-Mode=any
}

# unpack_all TREE: what was downloaded
unpack_all() {
	mkdir -p "$1"
	for deb in "$apt"/archives/*.deb; do
		dpkg-deb -x "$deb" "$1" || return 1
	done
	rm -rf "$apt"
}

# unpack TREE SUITES APT-OPTION-OR-PACKAGE...: packages with what they depend on
unpack() {
	tree=$1 from=$2
	shift 2
	rm -rf "$tree"
	# shellcheck disable=SC2086 # several suites
	suites "$tree.apt" $from || return 1
	apt_private apt-get -y install --download-only --no-install-recommends "$@" ||
		return 1
	unpack_all "$tree"
}

# get WHAT COMMAND...: a command that makes $dir.new, to be $dir in the cache, unless an
# earlier attempt failed and is remembered ($dir.failed).
get() {
	what=$1
	shift
	[ ! -e "$dir" ] && [ ! -e "$dir.failed" ] || return 0
	mkdir -p "$cache"
	exec 9>"$dir.lock"
	flock 9
	[ ! -e "$dir" ] || return 0
	say "fetching $what from Debian"
	rm -rf "$dir.new"	# of one that was interrupted
	if "$@" >"$dir.log" 2>&1; then
		mv "$dir.new" "$dir"
		rm "$dir.log"
	else
		say "that failed: $(grep -m 1 '^[EW]: ' "$dir.log" || tail -n 1 "$dir.log")"
		rm -rf "$dir.new" "$dir.all" "$dir".*.apt
	fi
}
