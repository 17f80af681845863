# man.awk: a page of doc/ as lowdown makes a good manual page of it
#
# The title becomes NAME. Sections move up by one. Tables of options, and those of two columns, are
# too wide for a terminal, and become lists of terms.

function cells(line, dst,    n, i) {
	gsub(/\\\|/, "\001", line)
	sub(/^\| */, "", line)
	sub(/ *\|$/, "", line)
	n = split(line, dst, / *\| */)
	for (i = 1; i <= n; i++)
		gsub(/\001/, "|", dst[i])
	return n
}

# STATUS_ACCESS_DENIED is a name, and nothing in it is to be italic.
function plain(line,    n, i, part, out) {
	n = split(line, part, /`/)
	for (i = 1; i <= n; i++) {
		if (i % 2 == 1)
			gsub(/_/, "\\_", part[i])
		out = out (i > 1 ? "`" : "") part[i]
	}
	return out
}

function term(head, text) {
	printf "%s\n: %s\n\n", head, text == "" ? "See above." : text
}

function options_row(c,    head) {
	head = "**" c[1] "** = " c[3]
	gsub(/`/, "", head)
	term(head, c[4] (c[4] ~ /[.:;]$/ || c[4] == "" ? "" : ".") " Default: " c[2] ".")
}

function table_row(line,    n, c) {
	n = cells(line, c)
	if (kind == "options")
		options_row(c)
	else if (kind == "terms")
		term("**" c[1] "**", c[2])
	else
		print line
}

function table_begin(line,    n, c) {
	n = cells(line, c)
	kind = c[1] == "option" && c[2] == "default" ? "options" : n == 2 ? "terms" : "table"
	if (kind == "table")
		print line
	else
		print ""
}

NR == 1 {
	sub(/^# /, "")
	at = index($0, ": ")
	if (at > 0)
		printf "# NAME\n\n%s - %s\n\n", substr($0, 1, at - 1), substr($0, at + 2)
	bare = at > 0
	next
}
bare && NF > 0 {
	if (!/^##/)
		printf "# DESCRIPTION\n\n"
	bare = 0
}
/^    / { in_code = 1 }
/^[^ ]/ { in_code = 0 }
!in_code { $0 = plain($0) }
/^##/ && !in_code { sub(/^#/, "") }
/^\|/ && !in_code {
	row++
	if (row == 1)
		table_begin($0)
	else if (row > 2 || kind == "table")
		table_row($0)
	next
}
{
	row = 0
	print
}
