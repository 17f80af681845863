#!/bin/sh
# embed.sh: the Lua scripts as C strings, for state/script.c; $1: where state/ is
set -eu

# Numbers that the scripts and C share have one name in both: they are taken from the headers.
numbers=$(awk '
	/^#define NAMES_[A-Z_]+ [0-9]+$/ { print $2 "=" $3 }
	/^enum script_(how|tick) [{].*[}];$/ {
		sub(/^[^{]*[{] */, "")
		sub(/ *[}];$/, "")
		n = split($0, name, ", *")
		for (i = 1; i <= n; i++)
			print name[i] "=" i - 1
	}' "$1/names.h" "$1/script.h")

# Comment lines are left out. A name that no header has ends the build.
embed() {
	awk -v numbers="$numbers" '
		BEGIN {
			n = split(numbers, pair, "\n")
			for (i = 1; i <= n; i++) {
				split(pair[i], p, "=")
				value[p[1]] = p[2]
			}
		}
		/^[ \t]*(--|$)/ { next }
		{
			while (match($0, /(HOW|TICK|NAMES)_[A-Z_]+/)) {
				name = substr($0, RSTART, RLENGTH)
				if (!(name in value)) {
					print FILENAME ":" FNR ": what is " name "?" >"/dev/stderr"
					exit 1
				}
				$0 = substr($0, 1, RSTART - 1) value[name] \
				    substr($0, RSTART + RLENGTH)
			}
			gsub(/\\/, "&&")
			gsub(/"/, "\\\"")
			print "\t\"" $0 "\\n\""
		}' "$1"
}

echo "/* Made by state/lua/embed.sh. */"
for f in "$1"/lua/*.lua; do
	name=$(basename "$f" .lua)
	test "$name" != common || continue
	echo "[SCRIPT_$(echo "$name" | tr '[:lower:]' '[:upper:]')] ="
	embed "$1/lua/common.lua"
	embed "$f"
	echo "	,"
done
