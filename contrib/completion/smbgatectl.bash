# smbgatectl.bash: what bash completes behind smbgatectl; commands and options are those of --help
# shellcheck shell=bash

# What stands first in the lines of --help: "show nodes", "drain NODE"
_smbgatectl_commands() {
	smbgatectl --help 2> /dev/null | sed -n 's/^  \([a-z]\)/\1/p' | sed 's/   *.*//'
}

_smbgatectl_nodes() {
	# The lines below the table have no two spaces behind their first word.
	smbgatectl show nodes 2> /dev/null | sed -n '2,$s/^\([^ ]*\)  .*/\1/p'
}

_smbgatectl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words w
	local -a typed=()

	case $before in
	-s | --socket | -c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $w = -* ]] || typed+=("$w")
	done
	case "$word/${typed[*]-}" in
	-*) words=$(smbgatectl --help 2> /dev/null | grep -o -e '--[a-z-]*' | sort -u) ;;
	*/) words=$(_smbgatectl_commands | cut -d' ' -f1 | sort -u) ;;
	*/show) words=$(_smbgatectl_commands | sed -n 's/^show //p') ;;
	*/drain | */undrain | */maint | */unmaint | */move\ *) words=$(_smbgatectl_nodes) ;;
	*) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _smbgatectl smbgatectl
