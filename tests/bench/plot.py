# SPDX-License-Identifier: MIT
"""The figures as an SVG: a line a row, the limit at 1, and on a logarithmic
scale how many times as much ours and each peer take."""

import html
import math
import statistics

LEFT, WIDTH, RIGHT, STEP, TOP = 330, 560, 30, 26, 64
OURS, PEER, LINE, TEXT = "#c0392b", "#5d6d7e", "#d5d8dc", "#212f3c"


def middle(row, who):
    values = [v for v in row["values"].get(who, []) if v is not None]
    return statistics.median(values) if values else None


def points(row):
    """(who, times the limit; more is slower) of all but the limits."""
    limits = [v for v in (middle(row, who) for who in row["limits"]) if v]
    if not limits:
        return []
    rate = row["unit"] == "M/s"
    limit = max(limits) if rate else min(limits)
    found = [(who, middle(row, who)) for who in ["ours", *row["peers"]]]
    return [(who, limit / v if rate else v / limit) for who, v in found if v]


def text(x, y, words, anchor="start", color=TEXT, size=12):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" '
            f'fill="{color}" font-size="{size}">{html.escape(words)}</text>')


def write(path, data):
    lines = [(row, found) for row in data["rows"] if (found := points(row))]
    if not lines:
        return
    every = [v for _, found in lines for _, v in found] + [1.0]
    low = math.floor(math.log10(min(every)) * 4) / 4
    high = math.ceil(math.log10(max(every)) * 4) / 4 + 0.05

    def place(value):
        return LEFT + (math.log10(value) - low) / (high - low) * WIDTH

    height = TOP + STEP * len(lines) + 20
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" '
        f'width="{LEFT + WIDTH + RIGHT}" height="{height}">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(10, 22, "Times the limit: left is faster", size=15),
        f'<circle cx="{LEFT}" cy="17" r="5" fill="{OURS}"/>',
        text(LEFT + 10, 22, "ours", color=OURS),
        f'<circle cx="{LEFT + 70}" cy="17" r="4" fill="{PEER}"/>',
        text(LEFT + 80, 22, "peers", color=PEER),
    ]
    for mark in (0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= math.log10(mark) <= high:
            x, wide = place(mark), 2 if mark == 1 else 1
            out += [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 12}" '
                    f'y2="{height - 16}" stroke="{LINE}" '
                    f'stroke-width="{wide}"/>',
                    text(x, TOP - 18, f"{mark:g}", "middle", size=11)]
    for n, (row, found) in enumerate(lines):
        y = TOP + STEP * n + STEP / 2
        out.append(text(LEFT - 12, y + 4, row["name"], "end"))
        for who, value in sorted(found, key=lambda one: one[0] == "ours"):
            color, radius = (OURS, 5) if who == "ours" else (PEER, 4)
            out.append(
                f'<circle cx="{place(value):.1f}" cy="{y:.0f}" r="{radius}" '
                f'fill="{color}"><title>{html.escape(who)}: {value:.2f}'
                "</title></circle>")
            if who != "ours":
                out.append(text(place(value), y + 12, who, "middle", PEER, 8))
    path.write_text("\n".join([*out, "</svg>"]) + "\n", encoding="utf-8")
