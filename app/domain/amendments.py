"""Corrections and cancels: the trade they change, and its bar computed anew from the log (S10).

An amendment names a trade by its id. It replaces that trade's price and size, or takes it out;
the trade keeps its time and its place in the order, whatever times the amendment itself carries:
venues send it minutes or a day later. Of several for one trade the last in the log holds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from app.domain.bars import Bar
from app.domain.partials import Uses, fold
from app.domain.series import NEVER
from app.domain.trades import ABSENT, ACTIONS, Codes, Name, Trades, alike
from schemas.columns import Sizes
from schemas.compiled import compiled
from schemas.packed import Bytes, Positions

CANCEL = ACTIONS.index("CANCEL")


class Amendment(NamedTuple):
    """One correction or cancel.

    Attributes:
        trade_id: The trade it changes.
        price: The new one, unscaled; None takes the trade out. Likewise size.
        offset: Its own offset in ticks.v1.
    """

    trade_id: str
    price: int | None
    size: int | None
    offset: int

    @property
    def reason(self) -> str:
        """Why the bars change."""
        return "cancel" if self.price is None else "correction"


Amended = Mapping[str, Amendment]
"""The last amendment of each trade of one series, by trade id."""

UsesOf = Callable[[Trades], Uses]


class Original(NamedTuple):
    """A trade in the log: its clock time, µs, and its offset."""

    at_us: int
    offset: int


def amendment(trades: Trades, row: int) -> Amendment:
    """Return the correction or cancel in a row."""
    trade_id, offset = trades.trade_id(row), int(trades.offset[row])
    if trade_id is None:
        raise AssertionError(f"an accepted {ACTIONS[trades.actions[row]]} must name a trade")
    if trades.actions[row] == CANCEL:
        return Amendment(trade_id, None, None, offset)
    return Amendment(trade_id, trades.price[row], trades.size[row], offset)


def rows_of(trades: Trades) -> list[int]:
    """Return the rows that are corrections or cancels."""
    return np.flatnonzero(trades.actions).tolist() if trades.actions.any() else []


def find(blocks: Iterable[Trades], name: Name, trade_id: str) -> Original | None:
    """Return the first trade of a series with that id; None when the blocks have none."""
    wanted = np.frombuffer(bytearray(trade_id.encode()), np.uint8)
    for block in blocks:
        mine = _of_series(block, name)
        if mine is None:
            continue
        row = _first_with(
            block.buffer, block.series, block.actions, block.id_starts, block.id_sizes, mine, wanted
        )
        if row >= 0:
            return Original(int(block.at_us[row]), int(block.offset[row]))
    return None


def amended(trades: Trades, uses: Uses, by_id: Amended, series: int = 0) -> tuple[Trades, Uses]:
    """Return the ticks with those of one series as they were amended, and what they count for.

    The cancelled count for nothing, but still move stream time: what was late because of one
    stays late. The ids of all its trades are compared, in Python: for blocks in which one is
    expected.
    """
    if not by_id:
        return trades, uses
    prices, sizes, cancelled = {}, {}, []
    for row in np.flatnonzero((trades.actions == 0) & (trades.series == series)).tolist():
        found = by_id.get(trades.trade_id(row) or "")
        if found is None or trades.price.is_null[row]:
            continue
        if found.price is None or found.size is None:
            cancelled.append(row)
        else:
            prices[row], sizes[row] = found.price, found.size
    uses = uses.copy()
    uses[cancelled] = 0
    return replace(trades, price=trades.price.put(prices), size=trades.size.put(sizes)), uses


def own(blocks: Iterable[Trades], names: Collection[Name]) -> list[Trades]:
    """Return the ticks of some series, in order, without a zombie's repeats."""
    found = []
    after = -1
    for block in blocks:
        codes = [code for code, name in enumerate(block.names) if name in names]
        if codes:
            newest = np.maximum.accumulate(np.concatenate(([after], block.raw_offset)))
            is_new = (block.raw_offset == ABSENT) | (block.raw_offset > newest[:-1])
            found.append(block.take(np.flatnonzero(np.isin(block.series, codes) & is_new)))
        after = max(after, block.last_raw_offset)
    return found


def last_of_each(blocks: Iterable[Trades]) -> dict[Name, dict[str, Amendment]]:
    """Return the last amendment of each trade, by series and trade id."""
    found: dict[Name, dict[str, Amendment]] = {}
    for block in blocks:
        for row in rows_of(block):
            each = amendment(block, row)
            found.setdefault(block.names[block.series[row]], {})[each.trade_id] = each
    return found


def recomputed(
    blocks: Iterable[Trades],
    by_name: Mapping[Name, Amended],
    width_us: int,
    revise_for_us: int,
    uses_of: UsesOf,
) -> dict[int, Bar]:
    """Return base bars, from the part of the log that holds them.

    Args:
        blocks: All ticks of the series, by `own`, from the first bar's first offset on; those of
            several venues together are one series.
        by_name: What was amended, by the series that it was told of.
        width_us: Width of the bars.
        revise_for_us: Trades later than this after their bar's close were never in it.
        uses_of: What each trade of a block counts for.

    Returns:
        The bars by open time, revision 0. One that lost its last trade is not among them.
    """
    bars: dict[int, Bar] = {}
    stream_us = NEVER
    for block in blocks:
        uses, ticks = uses_of(block), block
        for code, name in enumerate(block.names):
            ticks, uses = amended(ticks, uses, by_name.get(name, {}), code)
        # "Beyond" is strict there, lateness is not here.
        folded = fold(alike(ticks), [stream_us], [revise_for_us + 1], width_us, uses=uses)
        [stream_us] = folded.stream_us
        for _, part in folded.parts:
            if part.open_us in bars:
                bars[part.open_us].add(part)
            else:
                bars[part.open_us] = part
    return bars


def _of_series(trades: Trades, name: Name) -> int | None:
    return trades.names.index(name) if name in trades.names else None


@compiled
def _first_with(  # noqa: PLR0913 - one loop, many columns
    buffer: Bytes,
    series: Codes,
    actions: Positions,
    id_starts: Positions,
    id_sizes: Sizes,
    mine: int,
    wanted: Bytes,
) -> int:
    for row in range(len(series)):
        if series[row] != mine or actions[row] != 0 or id_sizes[row] != len(wanted):
            continue
        same = True
        for n in range(len(wanted)):
            if buffer[id_starts[row] + n] != wanted[n]:
                same = False
                break
        if same:
            return row
    return -1
