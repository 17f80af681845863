# figures.py: what the measurements of bench/run say: ratios with intervals, and their tables
"""A measurement is a line of JSON: {"workload", "proxy", "round", "unit", "cost", ...}.  What is
compared was measured in the same round, so that what slows the machine down for a minute is in
both; a ratio is the median of all rounds.  How far two of the same differ is the A/A row."""
import json
import math
import os
import re
import statistics
import textwrap

LEAST, OURS, AGAIN = "least-relay", "smbgate", "smbgate-again"
PEERS = ("haproxy", "haproxy-splice", "nginx")
COLUMNS = (LEAST, *PEERS, OURS)
PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "doc",
                    "PERFORMANCE.md")
BEGIN, END = "<!-- bench/run -->", "<!-- end -->"
DIGITS = {"s/GiB": 3, "bytes/conn": 0}
LEGEND = """CPU time of the proxy (idle: memory): the least of all rounds. Ratios: the median of
those of each round, and in brackets its interval of 95 % (of fewer than six rounds, the least and
the greatest). A/A is the same smbgate twice. =: no difference, since the interval is not beyond
what A/A shows."""


class Ratio:
    """Of the values of two proxies in the same rounds: the median, and an interval of it."""

    def __init__(self, values, others):
        each = sorted(v / others[n] for n, v in values.items() if others.get(n))
        self.rounds = len(each)
        if each:
            self.median = statistics.median(each)
            out = left_out(len(each))
            self.low, self.high = each[out], each[-1 - out]

    def __str__(self):
        return "%.2f (%.2f-%.2f)" % (self.median, self.low, self.high)

    def differs(self, same):
        """Is this more than two of the same (a Ratio) differ by?  None: that was not measured."""
        if not same:
            return None
        most = max(same.high, 1 / same.low)
        return self.low > most or self.high < 1 / most

    def json(self, same):
        return {"ratio": round(self.median, 4), "low": round(self.low, 4),
                "high": round(self.high, 4), "rounds": self.rounds, "differs": self.differs(same)}


def left_out(n):
    """How many of the least, and of the greatest, of n values may be left out, so that the others
    have the median among them in 95 % of all cases; with fewer than six, none is."""
    k = 0
    while 2 * sum(math.comb(n, i) for i in range(k + 2)) <= 0.05 * 2 ** n:
        k += 1
    return k


class Row:
    """A workload: what each proxy has cost in each round, and all else that was measured."""

    def __init__(self, name, unit, run=0):
        self.name, self.unit, self.run, self.all = name, unit, run, {}

    def add(self, m):
        self.all.setdefault(m["proxy"], {})[m["round"]] = m

    def values(self, proxy, key="cost"):
        return {n: m[key] for n, m in self.all.get(proxy, {}).items() if m.get(key)}

    def typical(self, proxy, key):
        v = [m[key] for m in self.all.get(proxy, {}).values() if m.get(key) is not None]
        return statistics.median(v) if v else None

    def least(self, proxy):
        return min(self.values(proxy).values(), default=None)

    def best_peer(self):
        """Whose median is the least: one lucky round makes nobody the best."""
        costs = {p: self.typical(p, "cost") for p in PEERS if self.values(p)}
        return min(costs, key=costs.get, default=None)

    def ratio(self, proxy, other):
        """None where they have no round in common."""
        r = Ratio(self.values(proxy), self.values(other)) if other else None
        return r if r and r.rounds else None

    def same(self):
        return self.ratio(AGAIN, OURS)

    def summaries(self):
        """A dict for each proxy, for the JSON."""
        for proxy in self.all:
            if not self.values(proxy):
                continue
            to = {other: self.ratio(proxy, other) for other in (LEAST, self.best_peer(), OURS)
                  if other and other != proxy}
            yield {"summary": self.name, "proxy": proxy, "unit": self.unit,
                   "least": self.least(proxy), "median": self.typical(proxy, "cost"),
                   "to": {o: r.json(self.same()) for o, r in to.items() if r}}


def read(lines):
    """(rows by name, {} or what was said of the last run).  A workload that a later run has
    measured too is that run's alone."""
    rows, about, run = {}, {}, 0
    for line in lines:
        m = json.loads(line)
        if "run" in m:
            run, about = run + 1, m["run"]
        elif "workload" in m and not m.get("failed"):
            row = rows.get(m["workload"])
            if not row or row.run != run:
                row = rows[m["workload"]] = Row(m["workload"], m["unit"], run)
            row.add(m)
    return rows, about


# -- tables in Markdown
def table(heads, rows):
    return "\n".join("| %s |" % " | ".join(r) for r in [heads, *rows]).replace(
        "\n", "\n" + "|---" * len(heads) + "|\n", 1) + "\n"


def cost(row, proxy):
    v = row.least(proxy)
    return "-" if v is None else "%.*f" % (DIGITS.get(row.unit, 2), v)


def compared(row, proxy, other):
    """A cell: a ratio, with "=" where it is no difference."""
    r = row.ratio(proxy, other)
    if not r:
        return "-"
    return str(r) + (" =" if r.differs(row.same()) is False else "")


def costs(rows):
    """The main table.  What is smbgate too, but for "again", has lines of its own."""
    out = []
    for row in rows:
        best = row.best_peer()
        for ours in [p for p in row.all if p.startswith(OURS) and p != AGAIN] or [OURS]:
            to_best = compared(row, ours, best)
            out.append([row.name + ("" if ours == OURS else ", " + ours), row.unit] +
                       [cost(row, p) for p in COLUMNS[:-1]] +
                       [cost(row, ours), (best + " " if to_best != "-" else "") + to_best,
                        compared(row, ours, LEAST),
                        str(row.same() or "-") if ours == OURS else "-"])
    return table(["workload", "unit", *COLUMNS, "to the best peer", "to " + LEAST, "A/A"], out)


def others(rows, what, form, *keys):
    """A table of medians beside the cost, of rows that have them; "" when none has."""
    proxies = [p for p in ("direct", *COLUMNS) if any(p in r.all for r in rows)]
    out = []
    for row in rows:
        cells = []
        for p in proxies:
            v = tuple(row.typical(p, k) for k in keys)
            cells.append("-" if None in v else form % v)
        if set(cells) != {"-"}:
            out.append([row.name, *cells])
    return "\n" + table([what, *proxies], out) if out else ""


def caption(about):
    text = " ".join(LEGEND.split())
    if about:
        text = "%s, Linux %s, %d CPUs (%s), %s; %d rounds. " % (
            about["date"], about["linux"], about["cpus"], about["model"],
            ", ".join(about["programs"]), about["rounds"]) + text
    return textwrap.fill(text, 118) + "\n\n"


def tables(rows, about):
    rows = list(rows.values())
    timed = [r for r in rows if r.name.startswith(("lat-", "active-"))]
    idle = [r for r in rows if r.name.startswith("idle")]
    return (caption(about) + costs(rows) +
            others(timed, "median / p99 of an answer, µs", "%.1f / %.0f", "p50_us", "p99_us") +
            others(idle, "CPU ms a second at rest", "%.2f", "idle_cpu_ms_per_s"))


def write(page, text):
    """The text in place of what is between the page's two markers."""
    with open(page, encoding="utf-8") as f:
        old = f.read()
    new, n = re.subn("(?<=%s\n).*?(?=%s\n)" % (BEGIN, END), lambda m: "\n" + text + "\n", old,
                     flags=re.DOTALL)
    if n != 1:
        raise ValueError("%s has %d times %s and %s" % (page, n, BEGIN, END))
    with open(page, "w", encoding="utf-8") as f:
        f.write(new)
