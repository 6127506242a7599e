"""Every bar once more, from the trades themselves: plain dicts and Decimals."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from tests.live.outside import WIDE, BarKey, Fields, Record

MINUTE_US = 60_000_000
WIDTHS_US = {
    "M1": MINUTE_US,
    "M5": 5 * MINUTE_US,
    "M15": 15 * MINUTE_US,
    "H1": 60 * MINUTE_US,
    "H4": 240 * MINUTE_US,
    "D1": 1440 * MINUTE_US,
}


def recompute(ticks: Iterable[tuple[Record, Fields]]) -> dict[BarKey, Fields]:
    """Return the bars of all timeframes that these trades make, each from the trades themselves."""
    bars: dict[BarKey, Fields] = {}
    widths = tuple(WIDTHS_US.items())
    with localcontext(WIDE):
        for record, tick in ticks:
            at, price, size = tick["event_time"], tick["price"], tick["size"]
            if price is None:
                continue
            sequence = -1 if tick["sequence"] is None else tick["sequence"]
            rank = (at, sequence, tick["trade_id"] or "", price, size)
            notional = price * size
            for timeframe, width in widths:
                key = (tick["symbol"], tick["venue"], timeframe, at - at % width)
                if key in bars:
                    _fold(bars[key], record.offset, rank, notional)
                else:
                    bars[key] = _first(key, width, record, rank, notional)
        for bar in bars.values():
            bar["vwap"] = None
            if bar["volume"]:
                vwap = bar["notional"] / bar["volume"]
                bar["vwap"] = vwap.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
    return bars


def _fold(bar: Fields, offset: int, rank: tuple[Any, ...], notional: Decimal) -> None:
    price, size = rank[3:]
    if rank < bar["opened"]:
        bar["opened"], bar["open"] = rank, price
    if rank > bar["closed"]:
        bar["closed"], bar["close"] = rank, price
    bar["high"], bar["low"] = max(bar["high"], price), min(bar["low"], price)
    bar["volume"] += size
    bar["notional"] += notional
    bar["trades"] += 1
    bar["first_offset"] = min(bar["first_offset"], offset)
    bar["last_offset"] = max(bar["last_offset"], offset)


def _first(
    key: BarKey, width: int, record: Record, rank: tuple[Any, ...], notional: Decimal
) -> Fields:
    price, size = rank[3:]
    return {
        "close_time": key[3] + width, "opened": rank, "closed": rank,
        "open": price, "high": price, "low": price, "close": price,
        "volume": size, "notional": notional, "trades": 1,
        "first_offset": record.offset, "last_offset": record.offset,
        "source_partition": record.partition,
    }  # fmt: skip
