#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The kernel's own style checker, from Debian's kernel source, over all C code.

. tests/lib.sh

name=checkpatch
# shellcheck source=scripts/lib.sh
top=. && . scripts/lib.sh

tarball=/usr/src/linux-source-6.1.tar.xz
dir=$cache/checkpatch
if [ ! -e "$dir/checkpatch.pl" ]; then
	[ -e "$tarball" ] || {
		skip checkpatch "no $tarball"
		exit
	}
	mkdir -p "$dir.$$"
	tar -xJf "$tarball" -C "$dir.$$" --strip-components 2 --wildcards \
		'*/scripts/checkpatch.pl' '*/scripts/spelling.txt' \
		'*/scripts/const_structs.checkpatch'
	mv "$dir.$$" "$dir"
fi

# clean NAME IGNORED-TYPES FILE...
clean() {
	test_name=$1 ignore=$2
	shift 2
	found=$("$dir/checkpatch.pl" --no-tree --file --terse --no-summary \
		--show-types --max-line-length=100 --ignore "$ignore" "$@" 2>&1)
	if [ -z "$found" ]; then
		ok "$test_name"
	else
		not_ok "$test_name" "$(echo "$found" | wc -l) complaints"
		diag "$found"
	fi
}

# MAINTAINERS is not ours to keep; macros that make one line of a table or a list
# of arguments cannot stand in parentheses, and those around unsafe_get_user() must
# jump. The check for camel case litters.
everywhere=FILE_PATH_CHANGES,COMPLEX_MACRO,MACRO_WITH_FLOW_CONTROL,CAMELCASE
# Rules about the kernel's own macros, which other programs do not have.
elsewhere=$everywhere,VOLATILE,SPLIT_STRING,ENOSYS,AVOID_EXTERNS,ARRAY_SIZE
elsewhere=$elsewhere,PREFER_DEFINED_ATTRIBUTE_MACRO
elsewhere=$elsewhere,TRAILING_STATEMENTS,NEW_TYPEDEFS,LINUX_VERSION_CODE
elsewhere=$elsewhere,STRCPY,SSCANF_TO_KSTRTO,PREFER_FALLTHROUGH,INLINE_LOCATION
elsewhere=$elsewhere,EMBEDDED_FUNCTION_NAME,STRLCPY,CONST_STRUCT,KREALLOC_ARG_REUSE,FUNCTION_ARGUMENTS

for part in include kmod tests/kunit user tests/guest tests/insn tests/user scripts; do
	files=$(git ls-files "$part" | grep -E '\.(c|h|S)$' |
		while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
	case $part in
	include|kmod|tests/kunit) ignore=$everywhere ;;
	*) ignore=$elsewhere ;;
	esac
	# shellcheck disable=SC2086 # file names without blanks
	[ -z "$files" ] || clean "checkpatch $part" "$ignore" $files
done
