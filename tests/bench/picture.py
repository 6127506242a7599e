"""A picture of rates and of CPU time: horizontal bars on a logarithmic scale, as SVG.

Light or dark as the reader has it; no text is smaller than 12 px.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

ROW, TOP, BOTTOM, GAP = 30, 74, 34, 36
NAMES, PLOT, COSTS = 280, 400, 230
NUMBER = 68
"""Room for a number behind a bar."""
SHORTEST = 1.5
"""How far the least value is above the left end at least, that its bar may be seen."""
LEFT, RIGHT = 12, 12
WIDTH = LEFT + NAMES + PLOT + GAP + COSTS + RIGHT

STYLE = """
  svg { color-scheme: light dark; --ink: #1b1f24; --soft: #5a6472; --line: #d5dae1;
        --paper: #ffffff; --peer: #7b93b5; --limit: #b9bfc8; --ours: #0f766e; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e8ecf1; --soft: #a3adba; --line: #353d47; --paper: #14181d;
          --peer: #6d88ad; --limit: #59626e; --ours: #2dbfae; } }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 16px; font-weight: 600; } .soft, .tick { fill: var(--soft); font-size: 12px; }
  .tick { text-anchor: middle; }
  .paper { fill: var(--paper); } .line { stroke: var(--line); } .range { stroke: var(--ink); }
  .peer { fill: var(--peer); } .limit { fill: var(--limit); } .ours { fill: var(--ours); }
"""


class Scale(NamedTuple):
    """A logarithmic axis: `low` lies at `begin`, and `high` is `length` px further on."""

    low: float
    high: float
    begin: float
    length: float

    def at(self, value: float) -> float:
        """Return where a value lies."""
        whole = math.log10(self.high / self.low)
        return round(
            self.begin + self.length * math.log10(max(value, self.low) / self.low) / whole, 1
        )

    def decades(self) -> list[float]:
        """Return the powers of ten on it."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**n for n in range(first, last + 1)]


def scale(values: Sequence[float], begin: float, length: float) -> Scale:
    """Return an axis of whole decades that holds the values."""
    low = math.floor(math.log10(min(values) / SHORTEST))
    high = math.ceil(math.log10(max(values)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), begin, length)


def picture(
    systems: Mapping[str, Mapping[str, Any]], limits: Sequence[str], ours: Sequence[str], note: str
) -> str:
    """Return an SVG of the systems, the fastest first.

    Args:
        systems: `tests.bench.figures.figures` of each by name.
        limits: Names of those that do nothing with the ticks.
        ours: Names of those to be looked at.
        note: A line below the title.
    """
    ordered = sorted(systems.items(), key=lambda each: -each[1]["ticks_per_s"])
    ends = [rate for _, each in ordered for rate in each["ticks_per_s_range"]]
    costs = [max(each["cpu_s_per_million"], 0.01) for _, each in ordered]
    begin = LEFT + NAMES
    rates = scale(ends, begin, PLOT - NUMBER)
    costly = scale(costs, begin + PLOT + GAP, COSTS - NUMBER)
    height = TOP + ROW * len(ordered) + BOTTOM
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(note)}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        _text(LEFT, 24, "Avro ticks from Kafka into one-minute bars", "title"),
        _text(LEFT, 42, note, "soft"),
        _text(begin, 62, "ticks a second, median; the line is the range of the rounds", "soft"),
        _text(costly.begin, 62, "CPU seconds a million ticks", "soft"),
    ]
    for axis in (rates, costly):
        for value in axis.decades():
            x, end = axis.at(value), height - BOTTOM
            drawn.append(f'<line class="line" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{end}"/>')
            drawn.append(_text(x, end + 18, _short(value), "tick"))
    for n, ((name, each), cost) in enumerate(zip(ordered, costs, strict=True)):
        kind = "limit" if name in limits else "ours" if name in ours else "peer"
        y = TOP + ROW * n
        low, high = (rates.at(rate) for rate in each["ticks_per_s_range"])
        drawn += [
            _text(LEFT, y + 17, name),
            _bar(rates, each["ticks_per_s"], y, kind),
            f'<line class="range" x1="{low}" x2="{high}" y1="{y + 12}" y2="{y + 12}"/>',
            _text(high + 6, y + 17, f"{each['ticks_per_s']:,}"),
            _bar(costly, cost, y, kind),
            _text(costly.at(cost) + 6, y + 17, f"{cost:,.1f}"),
        ]
    return "\n".join([*drawn, "</svg>\n"])


def _bar(axis: Scale, value: float, y: float, kind: str) -> str:
    width = round(axis.at(value) - axis.begin, 1)
    return f'<rect class="{kind}" x="{axis.begin}" y="{y + 3}" width="{width}" height="18" rx="2"/>'


def _short(value: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{named}>{escape(text)}</text>'
