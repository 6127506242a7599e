"""A small market of made-up bars, quotes, anomalies and gaps, the same each time."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.api.streams import Noun
from app.domain.ports import Row
from tests.contract import records
from tests.unit.api.api import Api, anomaly, gap

MINUTE = timedelta(minutes=1)
VENUE = "KRAKEN"
LAST = records.at("14:00")
"""When the last bar of the history opened."""
OPENS = {
    "ADA/USD": "0.4213", "BTC/USD": "64250.5", "DOGE/USD": "0.12345", "ETH/USD": "3120.25",
    "LINK/USD": "14.052", "LTC/USD": "71.31", "SOL/USD": "148.27", "XRP/USD": "0.52184",
}  # fmt: skip
"""Price of each symbol's first bar."""


def bars(symbol: str = "BTC/USD", count: int = 240, **last: Any) -> list[Row]:
    """Return final bars of a walk, oldest first, of which the last opened at `LAST`.

    Args:
        symbol: One of `OPENS`.
        count: How many.
        last: Fields of the last one.
    """
    found = list(_walk(symbol, count))
    found[-1] = {**found[-1], **last}
    return found


def _walk(symbol: str, count: int) -> Iterator[Row]:
    dice = random.Random(symbol)
    price = Decimal(OPENS[symbol])
    step = price.scaleb(-3)
    places = Decimal(1).scaleb(int(price.as_tuple().exponent))
    for index in range(count):
        path = [price]
        for _ in range(8):
            move = Decimal(str(round(dice.gauss(0.0, 0.4), 3)))
            path.append((path[-1] + step * move).quantize(places))
        price, mean = path[-1], sum(path) / len(path)
        volume = Decimal(str(round(dice.lognormvariate(1.5, 0.7), 4)))
        yield bar(
            LAST - MINUTE * (count - 1 - index), symbol,
            open=path[0], high=max(path), low=min(path), close=price, volume=volume,
            notional=volume * price, vwap=mean.quantize(Decimal(1).scaleb(-12)),
            trades=dice.randint(3, 400),
            first_offset=index * 10, last_offset=index * 10 + 9,
        )  # fmt: skip


def bar(open_time: datetime, symbol: str = "BTC/USD", **fields: Any) -> Row:
    """Return a final bar, unless `fields` say otherwise."""
    final = {"revision": 1, "reason": "final", "is_final": True}
    return records.bar(
        **{"symbol": symbol, "venue": VENUE, "open_time": open_time, **final, **fields}
    )


def quote(
    symbol: str = "BTC/USD", bid: str = "64250.1", ask: str = "64250.5", **fields: Any
) -> Row:
    """Return a quote."""
    prices = {"bid": Decimal(bid), "ask": Decimal(ask)}
    sizes = {"bid_size": Decimal("1.25"), "ask_size": Decimal("0.8")}
    name = {"symbol": symbol, "venue": VENUE, "event_time": LAST}
    return records.quote(**{**name, **prices, **sizes, **fields})


def stock(api: Api) -> None:
    """Give an API the market: history, quotes, and of everything odd a little."""
    for symbol in OPENS:
        walk = bars(symbol)
        if symbol == "BTC/USD":
            _spoil(walk)
        api.keep(bars=walk)
        close = walk[-1]["close"]
        tick = Decimal(1).scaleb(int(close.as_tuple().exponent))
        api.publish(Noun.QUOTES, quote(symbol, str(close - tick), str(close + tick * 2)))
    odd = {"symbol": "BTC/USD", "venue": VENUE}
    api.publish(
        Noun.ANOMALIES,
        anomaly(**odd, event_time=at(-70), severity="info", kind="spread_wide", tick_offset=1,
                detail="The spread is 12 times its median.", value=12.1, threshold=10.0),
        anomaly(**odd, event_time=at(-48), tick_offset=2),
        anomaly(**odd, event_time=at(-20), severity="critical", kind="crossed_quote", tick_offset=3,
                detail="Bid over ask for 4 s.", value=4.2, threshold=1.0),
    )  # fmt: skip
    api.open_gap(
        gap(**odd, from_id=81_234_501, to_id=81_234_517, after_time=at(-33),
            before_time=at(-31), detected_at=at(-30)),
        gap(**odd, from_id=81_230_001, to_id=81_230_004, after_time=at(-63), before_time=at(-63),
            detected_at=at(-61), repaired_at=at(-55), repaired_by="rest"),
    )  # fmt: skip


def at(minutes: int) -> datetime:
    """Return a time so many minutes after `LAST`, and half one."""
    return LAST + MINUTE * minutes + timedelta(seconds=30)


def _spoil(walk: list[Row]) -> None:
    """Let some of the last hour's bars be revised, incomplete and provisional."""
    for back, reason, revision in ((60, "gap_repair", 2), (42, "late", 2), (41, "late", 3)):
        walk[-1 - back] |= {"revision": revision, "reason": reason, "late": revision - 1}
    for back in (33, 32, 31):
        walk[-1 - back] |= {"complete": False}
    walk[-1] |= {"revision": 0, "reason": "live", "is_final": False}
