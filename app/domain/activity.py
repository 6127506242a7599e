"""Tick, volume and value bars: cut by what is traded, not by the clock (S17).

A bar closes with the trade that brings its count, volume or value to the threshold or beyond. No
trade is split, and what it brings beyond the threshold is not carried over: the next trade begins
the next bar at nothing. Hence the bars of a series cut its log into runs of neighbouring trades,
and where they are cut depends on the order of the log alone, not on blocks, restarts or clocks.

A bar is final as it closes, without grace. A late trade counts where it stands in the log, and
corrections and cancels are passed over: to cut again would move every bar behind them. Within a
bar, open and close are the first and last trade by rank, as in any bar (S3).

open_time is the event time of the bar's first trade in the log, but at least 1 µs after that of
the bar before, so that the key is unique; close_time is 1 µs after the latest event time in the
bar, and after open_time. Where trades share a microsecond or come out of order, neighbours
overlap in time; their offsets never do.

The bars are those of M. López de Prado, Advances in Financial Machine Learning (2018), 2.3.1.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.bars import SCALE, Bar, BarRow, bar_row
from app.domain.partials import EVERYTHING, VOLUME, Uses, fold
from app.domain.trades import ABSENT, Codes, Marks, Trades
from app.errors import ConfigError
from schemas.compiled import compiled
from schemas.packed import Positions

Name = tuple[str, str]
Words = npt.NDArray[np.uint64]

SCALES = {"T": 0, "V": SCALE, "N": 2 * SCALE}
"""What is counted: trades, volume, notional; and the decimal digits of its unit."""

MAX_DIGITS = 14
"""Whole digits of a threshold: below 10^14 x 10^24, two of them add up within 128 bits."""

ROW = "|activity"
"""How the key of a saved row ends, behind symbol@venue."""

_NAME = re.compile(r"([TVN])(0|[1-9][0-9]*)(?:\.([0-9]*[1-9]))?")
_NEVER_US = -(1 << 62)
_ALL_TIME_US = 1 << 62
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Spec:
    """What closes a bar.

    Attributes:
        name: Such as T1000; the bars' timeframe.
        kind: A key of `SCALES`.
        threshold: In trades, in volume of 1e-12 or in notional of 1e-24; at least 1.
    """

    name: str
    kind: str
    threshold: int


def spec(name: str) -> Spec:
    """Return the spec called `name`: T1000 (trades), V0.5 (volume), N1000000 (price x size).

    Raises:
        ValueError: It is not T, V or N and a number above 0 as it is shortest written, of at most
            14 whole digits and 12 decimals, for T none.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            "an activity bar must be T, V or N and a number without needless zeros, "
            f"such as T1000 or V0.5, was {name!r}"
        )
    kind, whole, decimals = match[1], match[2], match[3] or ""
    most = 0 if kind == "T" else SCALE
    if len(whole) > MAX_DIGITS or len(decimals) > most:
        raise ValueError(
            f"an activity bar of kind {kind} must have at most {MAX_DIGITS} whole digits "
            f"and {most} decimals, was {name!r}"
        )
    threshold = int(whole + decimals.ljust(SCALES[kind], "0"))
    if threshold == 0:
        raise ValueError(f"an activity bar's threshold must be above 0, was {name!r}")
    return Spec(name, kind, threshold)


@dataclass(slots=True)
class _Run:
    """Where one series and spec stand.

    Attributes:
        done: How far the open bar is towards the threshold.
        open_us: Its open time; while there is none, that of the bar before.
        latest_us: Latest event time in it.
        is_first: Whether no bar has closed before it.
        bar: None before its first trade.
    """

    done: int = 0
    open_us: int = _NEVER_US
    latest_us: int = _NEVER_US
    is_first: bool = True
    bar: Bar | None = None

    def add(self, part: Bar, first_us: int, latest_us: int) -> Bar:
        """Add trades that are next in the log, the first and the latest of them at these times."""
        if self.bar is None:
            self.bar, self.latest_us = part, latest_us
            part.open_us = self.open_us = max(first_us, self.open_us + 1)
        else:
            self.bar.add(part)
            self.latest_us = max(self.latest_us, latest_us)
        return self.bar


class ActivityBars:
    """Tick, volume and value bars of the series in one partition of ticks.v1.

    Args:
        specs_of: Returns what to build of a (venue, symbol); always the same.
        partition: The partition, written into each bar's lineage.
    """

    def __init__(self, specs_of: Callable[[Name], Sequence[Spec]], partition: int) -> None:
        self.partition = partition
        self._specs_of = specs_of
        self._runs: dict[Name, dict[str, _Run]] = {}
        self._fresh: set[tuple[Name, str]] = set()
        self._unsaved: set[Name] = set()
        self._closed: list[BarRow] = []

    def fold(self, trades: Trades, after: int = ABSENT, uses: Uses | None = None) -> None:
        """Fold one block of accepted ticks, in log order.

        Args:
            trades: n ticks; those of another action than NEW are passed over.
            after: Ticks whose raw offset does not rise above it are repeats, as in
                `partials.fold`.
            uses: What each trade counts for, n; everything by default. A trade that does not
                count for the volume does for a tick bar; one that counts for nothing does not.
        """
        uses = np.full(len(trades), EVERYTHING, np.uint8) if uses is None else uses
        specs = [self._specs_of(name) for name in trades.names]
        measured = _Measured.of(trades, after, uses) if all(specs) else None
        for each in dict.fromkeys(chain.from_iterable(specs)):
            has_it = np.array([each in of_series for of_series in specs])
            if has_it.all() and measured is not None:
                self._fold(each, trades, measured)
            else:
                theirs = np.where(has_it[trades.series], uses, 0).astype(np.uint8)
                self._fold(each, trades, _Measured.of(trades, after, theirs))

    def emit(self, *, finals_only: bool = False) -> list[BarRow]:
        """Return the bars closed since the last call, then the open ones that changed.

        As bar.avsc. With `finals_only` the open ones wait.
        """
        out, self._closed = self._closed, []
        if not finals_only:
            for name, timeframe in sorted(self._fresh):
                bar = self._runs[name][timeframe].bar
                if bar is not None:
                    out.append(self._row(name, timeframe, bar))
            self._fresh.clear()
        return out

    def save(self) -> Iterator[tuple[str, str]]:
        """Yield (key, JSON value) of each series that changed since the last call.

        What `emit` owes is not among it: emit first.
        """
        for venue, symbol in sorted(self._unsaved):
            runs = {of: asdict(run) for of, run in self._runs[venue, symbol].items()}
            yield f"{symbol}@{venue}{ROW}", json.dumps(runs)
        self._unsaved.clear()

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded.

        Raises:
            ConfigError: It was saved with other specs: where bars are cut depends on where they
                began, and new ones would begin in the middle.
        """
        for key, value in rows:
            series, saved = key.removesuffix(ROW), json.loads(value)
            symbol, _, venue = series.rpartition("@")
            names = {each.name for each in self._specs_of((venue, symbol))}
            if set(saved) != names:
                raise ConfigError(
                    f"activity bars of {series} must be {','.join(sorted(saved))} as in the saved "
                    f"state, were {','.join(sorted(names))}; a new TAPELINE_GROUP builds all anew"
                )
            self._runs[venue, symbol] = {of: _restored(run) for of, run in saved.items()}

    def _fold(self, each: Spec, trades: Trades, measured: "_Measured") -> None:
        done = _words(self._done(name, each) for name in trades.names)
        cut = _Cut.of(len(trades))
        count = _cut(trades.series, trades.at_us, *measured.by(each), done, *cut)
        # As if every segment were a series with a single bar, which nothing is late for; event
        # times lie behind 1970, at which such a bar would begin.
        segments = replace(trades, series=cut.segment_of)
        known, grace = [_NEVER_US] * count, [0] * count
        folded = fold(segments, known, grace, _ALL_TIME_US, measured.after, measured.uses)
        for segment, part in folded.parts:
            code = int(cut.series[segment])
            run = self._run(trades.names[code], each)
            run.done = _number(done[code])
            bar = run.add(part, int(cut.first_us[segment]), int(cut.latest_us[segment]))
            if cut.is_closed[segment]:
                bar.revision, bar.reason = 1, "final"
                self._closed.append(self._row(trades.names[code], each.name, bar))
                run.bar, run.is_first = None, False

    def _done(self, name: Name, each: Spec) -> int:
        run = self._runs.get(name, {}).get(each.name)
        return 0 if run is None else run.done

    def _run(self, name: Name, each: Spec) -> _Run:
        """Return where a series stands, which is about to change."""
        if name not in self._runs:
            self._runs[name] = {of.name: _Run() for of in self._specs_of(name)}
        self._unsaved.add(name)
        self._fresh.add((name, each.name))
        return self._runs[name][each.name]

    def _row(self, name: Name, timeframe: str, bar: Bar) -> BarRow:
        run, (venue, symbol) = self._runs[name][timeframe], name
        return bar_row(
            bar, symbol, venue, timeframe, 0, partition=self.partition,
            partial=run.is_first, close_us=max(run.latest_us, run.open_us) + 1,
        )  # fmt: skip


def _restored(saved: dict[str, Any]) -> _Run:
    run, bar = _Run(**saved), saved["bar"]
    if bar is not None:
        ends = {name: bar[name] and tuple(bar[name]) for name in ("opened", "closed")}
        run.bar = Bar(**{**bar, **ends})
    return run


@dataclass(frozen=True, eq=False)
class _Measured:
    """What the trades of a block count for, as factors: 1 x 1, 1 x size or |price| x size.

    A negative price is a price paid, too: it brings a value bar nearer its end.
    """

    after: int
    uses: Uses
    counted: Marks
    price: Words
    size: Words
    is_wide: Marks
    wide: list[tuple[int, int]]

    @classmethod
    def of(cls, trades: Trades, after: int, uses: Uses) -> "_Measured":
        """Measure a block."""
        raw = trades.raw_offset
        highest = np.maximum.accumulate(np.append(after, raw))[:-1]
        counted = (raw == ABSENT) | (raw > highest)
        counted &= ~trades.price.is_null & (trades.actions == 0) & (uses != 0)
        is_wide = counted & (trades.price.is_wide | trades.size.is_wide)
        has_volume = (uses & VOLUME) != 0
        wide = [
            (abs(trades.price[row]), abs(trades.size[row]) if has_volume[row] else 0)
            for row in np.flatnonzero(is_wide).tolist()
        ]
        price, size = (np.abs(of.values).astype(np.uint64) for of in (trades.price, trades.size))
        size[~has_volume] = 0
        return cls(after, uses, counted, price, size, is_wide, wide)

    def by(self, each: Spec) -> tuple[Marks, Words, Words, Marks, Words, Words]:
        """Return what `_cut` takes: those that do not fit 64 bits are measured here.

        A wide one is capped at the threshold, which it closes either way: all sums fit 128 bits.
        """
        one = np.ones_like(self.price)
        a = self.price if each.kind == "N" else one
        b = one if each.kind == "T" else self.size
        measures = {"T": lambda _, __: 1, "V": lambda _, size: size, "N": mul}
        measure = measures[each.kind]
        wide = _words(min(measure(*pair), each.threshold) for pair in self.wide)
        return self.counted, a, b, self.is_wide, wide, _words([each.threshold])


def _words(numbers: Iterable[int]) -> Words:
    """Return (n, 2): 128 bits of each, the high word first."""
    pairs = [(number >> 64, number & _WORD) for number in numbers]
    return np.array(pairs, np.uint64).reshape(-1, 2)


def _number(words: Words) -> int:
    return int(words[0]) << 64 | int(words[1])


class _Cut(NamedTuple):
    """The segments of a block: trades of one series that are in the same bar."""

    segment_of: Codes
    series: Codes
    first_us: Positions
    latest_us: Positions
    is_closed: Marks

    @classmethod
    def of(cls, n: int) -> "_Cut":
        return cls(
            np.zeros(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int64),
            np.empty(n, np.int64), np.zeros(n, np.bool_),
        )  # fmt: skip


@compiled
def _cut(  # noqa: PLR0913 - one loop, many columns
    series: Codes,
    at_us: Positions,
    counted: Marks,
    a: Words,
    b: Words,
    is_wide: Marks,
    wide: Words,
    goal: Words,
    done: Words,
    segment_of: Codes,
    series_of: Codes,
    first_us: Positions,
    latest_us: Positions,
    is_closed: Marks,
) -> int:
    """Cut each series where a x b, summed since its bar began, reaches the goal; count segments."""
    newest = np.full(len(done), -1, np.int32)
    count = wide_seen = 0
    for row in range(len(series)):
        if not counted[row]:
            continue
        code, at = series[row], at_us[row]
        segment = newest[code]
        if segment < 0:
            segment = newest[code] = count
            count += 1
            series_of[segment] = code
            first_us[segment] = latest_us[segment] = at
        segment_of[row] = segment
        latest_us[segment] = max(latest_us[segment], at)
        if is_wide[row]:
            high, low = wide[wide_seen, 0], wide[wide_seen, 1]
            wide_seen += 1
        else:
            high, low = _product(a[row], b[row])
        low += done[code, 1]
        high += done[code, 0] + (np.uint64(1) if low < done[code, 1] else np.uint64(0))
        if high > goal[0, 0] or (high == goal[0, 0] and low >= goal[0, 1]):
            is_closed[segment] = True
            newest[code] = -1
            high = low = np.uint64(0)
        done[code, 0], done[code, 1] = high, low
    return count


@compiled
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return a x b as its high and its low word."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    cross = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (cross >> half), a * b
