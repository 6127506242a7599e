"""A venue's own minutes are the roll-up of its own seconds: Coinbase BTC/USD, two days of 2016."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from app.domain.bars import Bar
from app.domain.series import Emission, Series
from app.domain.timeframes import ladder
from connectors.recordings import coinbase_bars

MINUTE_US = 60_000_000
MINUTES = {"20161007": 1_419, "20161008": 1_400}
FOLDER = Path(__file__).parents[3] / "shared" / "data"
Values = tuple[Decimal, ...]


def seconds(day: str) -> list[Bar]:
    """Return the venue's one-second bars as a bar builder makes them from trades."""
    bars: list[Bar] = []
    for at, *values in coinbase_bars(FOLDER, day, "second").iter_rows():
        open_us = int(at.timestamp()) * 1_000_000
        first, high, low, last, volume = (int(value.scaleb(12)) for value in values)
        offset = len(bars)
        bars.append(
            Bar(
                open_us, (open_us, 0, "", first, 0), (open_us, 1, "", last, 0),
                first, high, low, last, volume, last * volume, 1, offset, offset,
            )
        )  # fmt: skip
    return bars


def minutes_of(emissions: list[Emission]) -> dict[int, Values]:
    return {
        e.bar.open_us: tuple(
            Decimal(n).scaleb(-12)
            for n in (e.bar.open, e.bar.high, e.bar.low, e.bar.close, e.bar.volume)
        )
        for e in emissions
        if e.rung == 1
    }


def the_venues(day: str) -> dict[int, Values]:
    frame: pl.DataFrame = coinbase_bars(FOLDER, day, "minute")
    return {int(at.timestamp()) * 1_000_000: tuple(values) for at, *values in frame.iter_rows()}


@pytest.mark.parametrize("day", MINUTES)
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_minutes_rolled_up_from_seconds_equal_the_venues(day: str, *, backwards: bool) -> None:
    """2,819 of 2,819 over both days, whatever the order of the seconds within a minute."""
    assert FOLDER.is_dir(), f"recorded market data must be in {FOLDER}"
    series = Series(ladder(["S1", "M1"], {"S1": 60_000_000, "M1": 60_000_000}, 0))
    by_minute: dict[int, list[Bar]] = {}
    for bar in seconds(day):
        by_minute.setdefault(bar.open_us // MINUTE_US, []).append(bar)
    for bars in by_minute.values():
        for bar in reversed(bars) if backwards else bars:
            series.fold(bar)
        series.advance(bars[-1].open_us)

    rolled, venue = minutes_of(series.emissions()), the_venues(day)

    assert len(venue) == MINUTES[day]
    assert rolled == venue
