"""The figures of tests/bench/gateway: a table with ratios, and which of the promises are kept."""

import os
import statistics

UPGRADES = int(os.environ.get("UPGRADES", "9000"))
COLUMNS = ["desktopd", "Basic", "nginx", "Caddy"]
figures = {}  # figure -> peer -> a value of each round


def note(what, who, value):
    figures.setdefault(what, {}).setdefault(who, []).append(value)


def ratio(what, who):
    pairs = zip(figures[what].get(who, []), figures[what].get("nginx", []))
    found = [a / b for a, b in pairs if b]
    return statistics.median(found) if found and who != "nginx" else None


def shown(number):
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.2f}"


def table():
    print(f"{'':34}" + "".join(f"{who:>19}" for who in COLUMNS))
    for what, of in figures.items():
        line = f"{what:34}"
        for who in COLUMNS:
            text, by = (shown(statistics.median(of[who])) if who in of else ""), ratio(what, who)
            line += f"{text:>11}" + (f" {f'({by:.2f})':>7}" if by is not None else " " * 8)
        print(line.rstrip())


def difference(what):
    pairs = zip(figures[what]["desktopd"], figures[what]["nginx"])
    return statistics.median(a - b for a, b in pairs)


def value(what):
    return statistics.median(figures[what]["desktopd"])


# The promises: the figure that each needs, the values to compare, and the limit.
TARGETS = [
    ("1 KiB: CPU us/request", "CPU per request with the cookie / nginx", lambda w: ratio(w, "desktopd"), "<=", 1.25),
    ("1 KiB: CPU us/request", "CPU per request with Basic / nginx", lambda w: ratio(w, "Basic"), "<=", 1.25),
    ("1 KiB, requests/s", "rate with the cookie / nginx", lambda w: ratio(w, "desktopd"), ">=", 0.9),
    ("1 KiB, requests/s", "rate with Basic / nginx", lambda w: ratio(w, "Basic"), ">=", 0.9),
    ("64 MiB, MB/s", "download / nginx", lambda w: ratio(w, "desktopd"), ">=", 1),
    ("64 MiB TLS, MB/s", "download over TLS / nginx", lambda w: ratio(w, "desktopd"), ">=", 1),
    ("ping-pong, messages/s", "ping-pong / nginx", lambda w: ratio(w, "desktopd"), ">=", 0.9),
    ("bulk, MB/s", "bulk / nginx", lambda w: ratio(w, "desktopd"), ">=", 1),
    ("half rate, p99 us", "p99 at half rate over nginx's, us", difference, "<=", 1000),
    ("idle plain, upgrades", "idle upgrades open", value, ">=", UPGRADES),
    ("idle plain, KiB each", "an idle upgrade, KiB", value, "<", 5),
    ("idle TLS, KiB each", "an idle upgrade over TLS, KiB", value, "<", 40),
    ("stream in a flood, p99 added us", "what a flood adds to a stream's p99, us", value, "<", 5000),
    ("control socket, p99 us", "control socket's p99, us", value, "<", 20000),
    ("control socket, max us", "control socket's slowest of all, us", lambda w: max(figures[w]["desktopd"]), "<", 20000),
]


def verdicts():
    for what, text, measured, sign, limit in TARGETS:
        if what not in figures:
            continue
        if "desktopd" not in figures[what]:
            print(f"skipped  {text}: no TLS yet")
            continue
        got = measured(what)
        met = {"<=": got <= limit, ">=": got >= limit, "<": got < limit}[sign]
        print(f"{'met' if met else 'NOT MET':8} {text}: {got:.4g} ({sign} {limit:g})")
