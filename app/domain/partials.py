"""The partial bars of a block of trades, and which of its trades came late.

One pass over the block: lateness is judged for each trade against the stream time its own series
had before it came, and those on time are folded into one partial for each (series, open time).
Sums are exact: sizes in 128 bits, price x size in 192, and what does not fit 64 bits to begin
with is summed with Python's integers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.bars import Bar, Rank
from app.domain.trades import ABSENT, Codes, Marks, Trades
from schemas.columns import Sizes
from schemas.compiled import compiled
from schemas.packed import Bytes, Positions

OPEN_CLOSE, HIGH_LOW, VOLUME = 1, 2, 4
EVERYTHING = OPEN_CLOSE | HIGH_LOW | VOLUME
"""What a trade may count for; sale conditions take some of it away."""

Uses = npt.NDArray[np.uint8]

ON_TIME, LATE, PASSED_OVER = 0, 1, 2


class Part(NamedTuple):
    """A partial bar of one series: `Trades.names[series]`."""

    series: int
    bar: Bar


class Folded(NamedTuple):
    """What one block holds.

    Attributes:
        parts: Of the trades on time, one for each series and open time.
        late: Rows of the trades whose bar was final before they came, in order.
        late_stream_us: Stream time of its series before each of those, µs.
        before_us: By row: stream time of its series before it, µs; 0 where a tick is passed over.
        stream_us: By series: the latest event time, with those of the block, µs.
    """

    parts: list[Part]
    late: list[int]
    late_stream_us: list[int]
    before_us: Positions
    stream_us: list[int]


def fold(  # noqa: PLR0913 - what is known of each series, and of the block
    trades: Trades,
    known_us: Sequence[int],
    grace_us: Sequence[int],
    width_us: int,
    after: int = ABSENT,
    uses: Uses | None = None,
) -> Folded:
    """Fold a block.

    Args:
        trades: n ticks; those of another action than NEW are passed over.
        known_us: Stream time of each series in `trades.names` before the block, µs.
        grace_us: How long after close_time a bar of each stays open, µs.
        width_us: Bar width; bars are aligned to the epoch.
        after: A tick whose raw offset is not above this, and above all before it in the block,
            is a repeat and passed over; ticks without one are not.
        uses: What each trade counts for (`OPEN_CLOSE`, `HIGH_LOW`, `VOLUME`), n; all for
            everything by default. One that counts for nothing still moves stream time.
    """
    n = len(trades)
    stream_us = np.array(known_us, np.int64)
    uses = np.full(n, EVERYTHING, np.uint8) if uses is None else uses
    states = np.empty(n, np.uint8)
    before_us = np.zeros(n, np.int64)
    groups = _Groups.of(n)
    group_of = np.full(n, -1, np.int32)
    count = _fold(
        trades.buffer, trades.series, trades.at_us, trades.sequence, trades.id_starts,
        trades.id_sizes, trades.price.values, trades.price.is_wide, trades.price.is_null,
        trades.size.values, trades.size.is_wide, trades.raw_offset, trades.actions, trades.repeats,
        uses, width_us, np.array(grace_us, np.int64), after,
        stream_us, states, before_us, group_of, *groups,
    )  # fmt: skip
    late = np.flatnonzero(states == LATE)
    return Folded(
        _parts(trades, uses, groups, group_of, count),
        late.tolist(),
        before_us[late].tolist(),
        before_us,
        stream_us.tolist(),
    )


def single(trades: Trades, row: int, width_us: int, uses: int = EVERYTHING) -> Bar:
    """Return the partial bar of one trade."""
    price, size, offset = trades.price[row], trades.size[row], int(trades.offset[row])
    rank = _rank(trades, row)
    ends = (rank, price) if uses & OPEN_CLOSE else (None, None)
    extreme = price if uses & HIGH_LOW else None
    volume = size if uses & VOLUME else 0
    return Bar(
        rank[0] - rank[0] % width_us, ends[0], ends[0], ends[1], extreme, extreme, ends[1],
        volume, price * volume, 1, offset, offset, duplicates=int(trades.repeats[row]),
    )  # fmt: skip


def _rank(trades: Trades, row: int) -> Rank:
    return (
        int(trades.at_us[row]),
        int(trades.sequence[row]),
        trades.trade_id(row) or "",
        trades.price[row],
        trades.size[row],
    )


class _Groups(NamedTuple):
    """One entry for each partial bar; of each array as many as there are trades at most."""

    series: Codes
    open_us: Positions
    before: Codes
    """The group of the same series that was begun before, or -1."""
    opened: Codes
    closed: Codes
    high: Positions
    low: Positions
    has_extremes: Marks
    trades: Positions
    repeats: Positions
    first: Codes
    last: Codes
    is_wide: Marks
    volume: npt.NDArray[np.uint64]
    notional: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, n: int) -> "_Groups":
        def codes() -> Codes:
            return np.empty(n, np.int32)

        def numbers() -> Positions:
            return np.empty(n, np.int64)

        return cls(
            codes(), numbers(), codes(), codes(), codes(), numbers(), numbers(),
            np.zeros(n, np.bool_), numbers(), numbers(), codes(), codes(), np.zeros(n, np.bool_),
            np.zeros((n, 2), np.uint64), np.zeros((n, 3), np.uint64),
        )  # fmt: skip


def _parts(trades: Trades, uses: Uses, groups: _Groups, group_of: Codes, count: int) -> list[Part]:
    rows = zip(*(column[:count].tolist() for column in groups), strict=True)
    parts = []
    for group, row in enumerate(rows):
        series, open_us, _, opened, closed, *rest = row[:-2]
        *extremes, number, repeats, first, last, is_wide = rest
        if is_wide:
            members = np.flatnonzero(group_of == group).tolist()
            parts.append(Part(series, _wide(trades, members, uses, open_us)))
            continue
        high, low, has_extremes = extremes
        ends = (_rank(trades, opened), _rank(trades, closed)) if opened >= 0 else (None, None)
        volume, notional = (_signed(limbs) for limbs in row[-2:])
        bar = Bar(
            open_us, ends[0], ends[1],
            ends[0] and ends[0][3],
            high if has_extremes else None,
            low if has_extremes else None,
            ends[1] and ends[1][3],
            volume, notional, number, int(trades.offset[first]), int(trades.offset[last]),
            duplicates=repeats,
        )  # fmt: skip
        parts.append(Part(series, bar))
    return parts


def _wide(trades: Trades, rows: list[int], uses: Uses, open_us: int) -> Bar:
    """Return the bar of some trades with Python's integers."""
    bars = [single(trades, row, 1, int(uses[row])) for row in rows]
    whole = bars[0]
    whole.open_us = open_us
    for bar in bars[1:]:
        whole.add(bar)
    return whole


def _signed(limbs: list[int]) -> int:
    value = sum(limb << (64 * n) for n, limb in enumerate(limbs))
    return value - (1 << (64 * len(limbs))) if limbs[-1] >> 63 else value


@compiled
def _fold(  # noqa: C901, PLR0912, PLR0913, PLR0915 - one loop, many columns
    buffer: Bytes,
    series: Codes,
    at_us: Positions,
    sequence: Positions,
    id_starts: Positions,
    id_sizes: Sizes,
    price: Positions,
    is_price_wide: Marks,
    is_price_null: Marks,
    size: Positions,
    is_size_wide: Marks,
    raw_offset: Positions,
    actions: Positions,
    repeats: Positions,
    uses: Uses,
    width_us: int,
    grace_us: Positions,
    after: int,
    stream_us: Positions,
    states: npt.NDArray[np.uint8],
    before_us: Positions,
    group_of: Codes,
    group_series: Codes,
    open_us: Positions,
    before: Codes,
    opened: Codes,
    closed: Codes,
    high: Positions,
    low: Positions,
    has_extremes: Marks,
    trades: Positions,
    repeated: Positions,
    first: Codes,
    last: Codes,
    is_wide: Marks,
    volume: npt.NDArray[np.uint64],
    notional: npt.NDArray[np.uint64],
) -> int:
    newest = np.full(len(stream_us), -1, np.int32)
    count = 0
    for row in range(len(series)):
        raw = raw_offset[row]
        states[row] = PASSED_OVER
        if raw != ABSENT:
            if raw <= after:
                continue
            after = raw
        if is_price_null[row] or actions[row] != 0:
            continue
        code, at = series[row], at_us[row]
        known, grace = stream_us[code], grace_us[code]
        before_us[row] = known
        # at - at % width > at - width: near the stream's head no division is needed.
        if at + grace <= known and at - at % width_us + width_us + grace <= known:
            if uses[row] != 0:
                states[row] = LATE
            continue
        stream_us[code] = max(known, at)
        if uses[row] == 0:
            continue
        states[row] = ON_TIME
        group = newest[code]
        while group >= 0 and not open_us[group] <= at < open_us[group] + width_us:
            group = before[group]
        if group < 0:
            group = count
            count += 1
            group_series[group], open_us[group] = code, at - at % width_us
            before[group], newest[code] = newest[code], group
            opened[group] = closed[group] = -1
            first[group] = row
            trades[group] = repeated[group] = 0
        group_of[row] = group
        trades[group] += 1
        repeated[group] += repeats[row]
        last[group] = row
        if is_price_wide[row] or is_size_wide[row]:
            is_wide[group] = True
            continue
        if uses[row] & HIGH_LOW:
            if not has_extremes[group]:
                has_extremes[group] = True
                high[group] = low[group] = price[row]
            high[group] = max(high[group], price[row])
            low[group] = min(low[group], price[row])
        if uses[row] & OPEN_CLOSE:
            # Times decide nearly always, and a call costs more than all the rest of the loop.
            other = opened[group]
            if other < 0 or (
                at <= at_us[other]
                and _precedes(row, other, buffer, at_us, sequence, id_starts, id_sizes, price, size)
            ):
                opened[group] = row
            other = closed[group]
            if other < 0 or (
                at >= at_us[other]
                and _precedes(other, row, buffer, at_us, sequence, id_starts, id_sizes, price, size)
            ):
                closed[group] = row
        if uses[row] & VOLUME:
            _add_product(volume[group], 1, size[row])
            _add_product(notional[group], price[row], size[row])
    return count


@compiled
def _precedes(  # noqa: PLR0913 - the rank's fields
    a: int,
    b: int,
    buffer: Bytes,
    at_us: Positions,
    sequence: Positions,
    id_starts: Positions,
    id_sizes: Sizes,
    price: Positions,
    size: Positions,
) -> bool:
    """Compare by (event_time, sequence, trade_id, price, size); texts by their bytes."""
    if at_us[a] != at_us[b]:
        return bool(at_us[a] < at_us[b])
    if sequence[a] != sequence[b]:
        return bool(sequence[a] < sequence[b])
    size_a, size_b = max(id_sizes[a], 0), max(id_sizes[b], 0)
    for n in range(min(size_a, size_b)):
        byte_a, byte_b = buffer[id_starts[a] + n], buffer[id_starts[b] + n]
        if byte_a != byte_b:
            return bool(byte_a < byte_b)
    if size_a != size_b:
        return bool(size_a < size_b)
    if price[a] != price[b]:
        return bool(price[a] < price[b])
    return bool(size[a] < size[b])


@compiled
def _add_product(total: npt.NDArray[np.uint64], a: int, b: int) -> None:
    """Add a x b, 128 bits, to a sum in two's complement, its lowest 64 bits first."""
    low_32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    is_negative = (a < 0) != (b < 0)
    # Signed numbers must not overflow, and the lowest has no opposite.
    p = np.uint64(0) - np.uint64(a) if a < 0 else np.uint64(a)
    q = np.uint64(0) - np.uint64(b) if b < 0 else np.uint64(b)
    p0, p1, q0, q1 = p & low_32, p >> half, q & low_32, q >> half
    middle = p1 * q0 + ((p0 * q0) >> half)
    cross = p0 * q1 + (middle & low_32)
    low = p * q
    high = p1 * q1 + (middle >> half) + (cross >> half)
    if is_negative and (low != 0 or high != 0):
        low = ~low + np.uint64(1)
        high = ~high + (np.uint64(1) if low == 0 else np.uint64(0))
        extension = ~np.uint64(0)
    else:
        extension = np.uint64(0)
    before = total[0]
    total[0] += low
    carry = np.uint64(1) if total[0] < before else np.uint64(0)
    before = total[1]
    total[1] += high
    overflow = np.uint64(1) if total[1] < before else np.uint64(0)
    before = total[1]
    total[1] += carry
    overflow += np.uint64(1) if total[1] < before else np.uint64(0)
    if len(total) > 2:  # noqa: PLR2004 - the sum of products has a third word
        total[2] += extension + overflow
