"""One OHLCV bar as a mergeable partial, and its record.

A bar carries the rank (event_time, sequence, trade_id, price, size) of its opening and closing
trade, so `add` gives the same bar whatever order the blocks came in. Prices and sizes are
integers in units of 1e-12, notional in units of 1e-24: sums are exact and cannot overflow.
Nothing here reads a clock or does I/O; a replay gives the same bars bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Final, NamedTuple

SCALE: Final = 12
"""Decimal digits of a price or size."""

NO_OFFSET: Final = -1
"""Stands for the offset of a bar that no trade is in."""

Rank = tuple[int, int, str, int, int]
"""Order of trades within a series: event_time us, sequence (-1 for none), trade_id, price, size."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDE = Context(prec=80)


@dataclass(slots=True)
class Bar:
    """One bar of one series and timeframe.

    A print may count for the volume and not for open and close, or not for high and low; a price
    for which none has counted is None. A bar without trades is empty: its prices are None, or
    the close before it, and give way to the first trade's.

    Attributes:
        open_us: Open time, µs since the epoch.
        opened: Rank of the opening trade.
        closed: Rank of the closing trade.
        open: Price of the opening trade, unscaled; likewise high, low, close.
        volume: Sum of sizes, unscaled (1e-12).
        notional: Sum of price x size, unscaled (1e-24).
        trades: Number of trades that count for anything.
        first_offset: Lowest offset used, `NO_OFFSET` for none; `last_offset` is the highest.
        late: Trades that came after the bar was final.
        revision: 0 while provisional, 1 when final, one more for each change after that.
        reason: Why the current revision exists.
        duplicates: Repeats of its trades that were refused.
        noted_offset: Offset of the last record that changed the bar without being used in it,
            such as a cancel; while provisional it makes the next emission the newer one.
    """

    open_us: int
    opened: Rank | None
    closed: Rank | None
    open: int | None
    high: int | None
    low: int | None
    close: int | None
    volume: int
    notional: int
    trades: int
    first_offset: int
    last_offset: int
    late: int = 0
    revision: int = 0
    reason: str = "live"
    duplicates: int = 0
    noted_offset: int = NO_OFFSET

    def add(self, other: "Bar") -> None:
        """Fold another partial of the same bar, made of other trades, into this one."""
        if other.trades:
            if self.trades:
                self._add_prices(other)
                self.first_offset = min(self.first_offset, other.first_offset)
                self.last_offset = max(self.last_offset, other.last_offset)
            else:
                self.opened, self.open = other.opened, other.open
                self.closed, self.close = other.closed, other.close
                self.high, self.low = other.high, other.low
                self.first_offset, self.last_offset = other.first_offset, other.last_offset
            self.volume += other.volume
            self.notional += other.notional
            self.trades += other.trades
        self.late += other.late
        self.duplicates += other.duplicates
        self.noted_offset = max(self.noted_offset, other.noted_offset)

    def _add_prices(self, other: "Bar") -> None:
        if other.opened is not None and (self.opened is None or other.opened < self.opened):
            self.opened, self.open = other.opened, other.open
        if other.closed is not None and (self.closed is None or other.closed > self.closed):
            self.closed, self.close = other.closed, other.close
        if other.high is not None and (self.high is None or other.high > self.high):
            self.high = other.high
        if other.low is not None and (self.low is None or other.low < self.low):
            self.low = other.low

    def copy(self) -> "Bar":
        """Return a bar of the same values."""
        return Bar(
            self.open_us, self.opened, self.closed, self.open, self.high, self.low, self.close,
            self.volume, self.notional, self.trades, self.first_offset, self.last_offset,
            self.late, self.revision, self.reason, self.duplicates, self.noted_offset,
        )  # fmt: skip


def empty(open_us: int, price: int | None = None) -> Bar:
    """Return a bar without trades, all its prices `price`."""
    return Bar(
        open_us, None, None, price, price, price, price, 0, 0, 0, NO_OFFSET, NO_OFFSET
    )  # fmt: skip


def roll_up(open_us: int, children: Iterable[Bar]) -> Bar:
    """Return the bar at `open_us` that the children make; at least one child."""
    parts = iter(children)
    bar = next(parts).copy()
    bar.open_us, bar.revision, bar.reason = open_us, 0, "live"
    for part in parts:
        bar.add(part)
    return bar


class BarRow(NamedTuple):
    """A bar as bar.avsc has it, in its order: times in µs, decimals unscaled."""

    symbol: str
    venue: str
    timeframe: str
    open_time: int
    close_time: int
    open: int | None
    high: int | None
    low: int | None
    close: int | None
    volume: int
    notional: int
    vwap: int | None
    trades: int
    revision: int
    reason: str
    is_final: bool
    complete: bool
    partial: bool
    late: int
    source_partition: int
    first_offset: int
    last_offset: int
    duplicates: int
    quotes: int

    def record(self) -> dict[str, object]:
        """Return the fields of ``bar.avsc``: decimals and aware times."""
        return {
            **self._asdict(),
            "open_time": instant(self.open_time),
            "close_time": instant(self.close_time),
            "open": _price(self.open),
            "high": _price(self.high),
            "low": _price(self.low),
            "close": _price(self.close),
            "volume": decimal(self.volume),
            "notional": decimal(self.notional, 2 * SCALE),
            "vwap": _price(self.vwap),
        }


def bar_row(  # noqa: PLR0913 - a bar's names are the series' and the timeframe's
    bar: Bar,
    symbol: str,
    venue: str,
    timeframe: str,
    width_us: int,
    *,
    partition: int,
    partial: bool,
    close_us: int | None = None,
    complete: bool = True,
) -> BarRow:
    """Return `bar` as bar.avsc has it.

    Args:
        bar: The bar.
        symbol: Of the series, likewise `venue`.
        venue: Matches the symbol.
        timeframe: Its name.
        width_us: Its width: the bar's own unless `close_us` is given.
        partition: Of ticks.v1.
        partial: Whether the series began in it.
        close_us: Close time, where a session's end cuts the bar short.
        complete: Whether no gap touches it.
    """
    is_final = bar.revision > 0
    return BarRow(
        symbol, venue, timeframe,
        bar.open_us, bar.open_us + width_us if close_us is None else close_us,
        bar.open, bar.high, bar.low, bar.close,
        bar.volume, bar.notional, _mean(bar.notional, bar.volume) if bar.volume else None,
        bar.trades, bar.revision, bar.reason, is_final, complete, partial, bar.late,
        partition, bar.first_offset,
        bar.last_offset if is_final else max(bar.last_offset, bar.noted_offset),
        bar.duplicates, 0,
    )  # fmt: skip


def _mean(notional: int, volume: int) -> int:
    """Return notional / volume in units of 1e-12, half to even."""
    mean, rest = divmod(notional, volume)
    return mean + (2 * rest > volume or (2 * rest == volume and mean % 2))


def _price(unscaled: int | None) -> Decimal | None:
    return None if unscaled is None else decimal(unscaled)


def decimal(unscaled: int, scale: int = SCALE) -> Decimal:
    """Return ``unscaled`` x 10^-scale, exact."""
    return Decimal(unscaled).scaleb(-scale, _WIDE)


def instant(at_us: int) -> datetime:
    """Return µs since the epoch as an aware UTC time."""
    return _EPOCH + timedelta(microseconds=at_us)
