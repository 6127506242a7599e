"""Bars once more, from the ticks that were published, by a path of its own.

Plain dicts and Decimals, one tick after the other, no code of the core: what the demo holds the
pipeline's bars against. Longer bars come from the ticks too, not from shorter bars.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDTHS = {
    "M1": timedelta(minutes=1),
    "M5": timedelta(minutes=5),
    "M15": timedelta(minutes=15),
    "H1": timedelta(hours=1),
    "H4": timedelta(hours=4),
    "D1": timedelta(days=1),
}
VALUES = ("open", "high", "low", "close", "volume", "notional", "vwap", "trades")

Key = tuple[str, str, str, datetime]
Values = dict[str, Any]


def recompute(ticks: Iterable[Mapping[str, Any]], timeframes: Iterable[str]) -> dict[Key, Values]:
    """Return the `VALUES` of every bar that the trades make.

    Args:
        ticks: As tick.avsc, each trade once, in any order.
        timeframes: Names in `WIDTHS`.
    """
    names = list(timeframes)
    with localcontext() as context:
        context.prec = 90
        bars: dict[Key, Values] = {}
        for tick in sorted(ticks, key=_order):
            if tick["price"] is None:
                continue
            for name in names:
                width = WIDTHS[name]
                opened = EPOCH + (tick["event_time"] - EPOCH) // width * width
                _add(bars, (tick["symbol"], tick["venue"], name, opened), tick)
        for bar in bars.values():
            if bar["volume"]:
                vwap = bar["notional"] / bar["volume"]
                bar["vwap"] = vwap.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        return bars


def differences(
    expected: Mapping[Key, Values], bars: Iterable[Mapping[str, Any]], *, whole: bool
) -> list[str]:
    """Return a line for each bar that is not as expected; an empty one is expected nowhere.

    Args:
        expected: What `recompute` returned.
        bars: As bar.avsc, one of each key.
        whole: Whether a bar that is expected and not there is a difference.
    """
    found = {(b["symbol"], b["venue"], b["timeframe"], b["open_time"]): b for b in bars}
    lines = []
    for key in sorted(set(expected) | set(found)):
        if key not in found:
            if whole:
                lines.append(f"{_name(key)}: not there")
        elif key not in expected:
            if found[key]["trades"]:
                lines.append(f"{_name(key)}: made of no tick")
        else:
            wrong = [v for v in VALUES if found[key][v] != expected[key][v]]
            lines += [
                f"{_name(key)}: {v} {found[key][v]}, expected {expected[key][v]}" for v in wrong
            ]
    return lines


def _order(tick: Mapping[str, Any]) -> tuple[datetime, int, str]:
    sequence = -1 if tick["sequence"] is None else tick["sequence"]
    return tick["event_time"], sequence, tick["trade_id"] or ""


def _add(bars: dict[Key, Values], key: Key, tick: Mapping[str, Any]) -> None:
    price, size = tick["price"], tick["size"]
    bar = bars.get(key)
    if bar is None:
        bar = bars[key] = dict.fromkeys(("open", "high", "low", "close"), price)
        bar |= {"volume": Decimal(0), "notional": Decimal(0), "vwap": None, "trades": 0}
    bar["high"] = max(bar["high"], price)
    bar["low"] = min(bar["low"], price)
    bar["close"] = price
    bar["volume"] += size
    bar["notional"] += price * size
    bar["trades"] += 1


def _name(key: Key) -> str:
    symbol, venue, timeframe, opened = key
    return f"{symbol}@{venue} {timeframe} {opened:%Y-%m-%dT%H:%M:%SZ}"
