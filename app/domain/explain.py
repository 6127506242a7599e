"""Why a bar is what it is: each tick of it used or refused, with the reason, and the bar recounted.

Pure, and apart from the code that builds bars: ticks one by one, in the order of the log, plain
Decimals, so that what both get wrong must be wrong twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any, NamedTuple

from app.domain.bars import instant
from app.domain.evidence import Late, Tick
from app.domain.partials import EVERYTHING, HIGH_LOW, OPEN_CLOSE, VOLUME

USED, REFUSED, APPLIED = "used", "refused", "applied"
UsesOf = Callable[[Sequence[str], int], int]
"""What a trade with those sale conditions at that event time, µs, counts for: bits of
`app.domain.partials`."""


def everything(_: Sequence[str], __: int) -> int:
    """Every trade counts for everything."""
    return EVERYTHING


RECOUNTED = ("open", "high", "low", "close", "volume", "notional", "trades")
PRICES = RECOUNTED[:4]
_COUNTS = {OPEN_CLOSE: "open and close", HIGH_LOW: "high and low", VOLUME: "volume"}
_EXACT = Context(prec=100)


class Reason(NamedTuple):
    """A code from a closed set, and the thing, the rule and the value."""

    code: str
    detail: str


class Line(NamedTuple):
    """One tick with its verdict: `USED`, `REFUSED`, or, of a correction or cancel, `APPLIED`."""

    tick: Tick
    verdict: str
    reasons: tuple[Reason, ...] = ()


@dataclass
class Recount:
    """The bar that trades make, added in any order."""

    values: dict[str, Any] = field(
        default_factory=lambda: {
            **dict.fromkeys(PRICES), "volume": Decimal(0), "notional": Decimal(0), "trades": 0,
        }
    )  # fmt: skip
    _first: tuple[Any, ...] | None = None
    _last: tuple[Any, ...] | None = None

    def add(self, tick: Tick, price: Decimal, size: Decimal, uses: int) -> None:
        """Count one trade as far as its `uses` go."""
        held = self.values
        held["trades"] += 1
        if uses & HIGH_LOW:
            held["high"] = price if held["high"] is None else max(held["high"], price)
            held["low"] = price if held["low"] is None else min(held["low"], price)
        if uses & OPEN_CLOSE:
            sequence = -1 if tick.sequence is None else tick.sequence
            rank = (tick.event_us, sequence, tick.trade_id or "", price, size)
            if self._first is None or rank < self._first:
                self._first, held["open"] = rank, price
            if self._last is None or rank > self._last:
                self._last, held["close"] = rank, price
        if uses & VOLUME:
            held["volume"] = _EXACT.add(held["volume"], size)
            held["notional"] = _EXACT.add(held["notional"], _EXACT.multiply(price, size))

    def differences(self, bar: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which a bar is not this one: its value, and the one counted.

        A bar without trades may carry the prices of the one before it.
        """
        is_empty = not bar["trades"] and not self.values["trades"]
        names = RECOUNTED[len(PRICES) :] if is_empty else RECOUNTED
        return {
            name: (bar[name], self.values[name]) for name in names if bar[name] != self.values[name]
        }


class Judge:
    """The verdict on each tick of one bar, in the order of the log.

    Args:
        late: What ticks.late.v1 says, by offset in ticks.v1.
        amendments: Corrections and cancels of each trade id, in the order of the log. The last
            that is no repeat holds, wherever its trade stands.
        uses_of: What sale conditions leave of a trade; all by default.

    Attributes:
        recount: The bar of the ticks used so far.
    """

    def __init__(
        self,
        late: Mapping[int, Late],
        amendments: Mapping[str, Sequence[Tick]],
        uses_of: UsesOf = everything,
    ) -> None:
        self.recount = Recount()
        self._late = late
        self._amendments = amendments
        self._uses_of = uses_of
        self._amended: dict[str, tuple[int | None, Tick]] = {}

    def trade(self, tick: Tick) -> Line:
        """Judge a trade in the bar, and count it if it is used."""
        late = self._late.get(-1 if tick.offset is None else tick.offset)
        if tick.behind is not None:
            return refused(tick, _repeat(tick))
        if late is not None and not late.revised:
            return refused(tick, _too_late(late))
        if tick.price is None or tick.size is None or tick.event_us is None:
            raise AssertionError(f"an accepted trade has time, price and size, {tick} has not")
        price, size, reasons = tick.price, tick.size, []
        amendment = self._holding(tick)
        if amendment is not None and amendment.action == "CANCEL":
            detail = f"by the CANCEL at offset {amendment.offset}"
            return refused(tick, Reason("cancelled", detail))
        if amendment is not None and amendment.price is not None and amendment.size is not None:
            price, size = amendment.price, amendment.size
            reasons.append(_corrected(tick, amendment))
        uses = self._uses_of(tick.conditions, tick.event_us)
        if uses != EVERYTHING:
            reasons.append(_limited(tick, uses))
        if not uses & EVERYTHING:
            return Line(tick, REFUSED, tuple(reasons))
        if late is not None:
            at = _clock(late.stream_us)
            reasons.append(Reason("late", f"came when its series was at {at}, its bar final"))
        self.recount.add(tick, price, size, uses)
        return Line(tick, USED, tuple(reasons))

    def amendments(self) -> Iterator[Line]:
        """Yield the corrections and cancels of the trades judged so far, in the log's order."""
        every = [tick for name in self._amended for tick in self._amendments[name]]
        for tick in sorted(every, key=lambda tick: tick.offset or 0):
            original, holds = self._amended[tick.trade_id or ""]
            if tick.behind is not None:
                yield refused(tick, _repeat(tick))
            elif tick is not holds:
                detail = f"by the {holds.action} at offset {holds.offset}"
                yield refused(tick, Reason("superseded", detail))
            else:
                detail = f"the {tick.action} of the trade at offset {original}"
                yield Line(tick, APPLIED, (Reason("amendment", detail),))

    def _holding(self, tick: Tick) -> Tick | None:
        """Return the correction or cancel that holds for a trade."""
        trade_id = tick.trade_id or ""
        first = [each for each in self._amendments.get(trade_id, ()) if each.behind is None]
        if not first:
            return None
        self._amended.setdefault(trade_id, (tick.offset, first[-1]))
        return first[-1]


def refused(tick: Tick, reason: Reason) -> Line:
    """Return the line of a record that was refused before there was a bar for it."""
    return Line(tick, REFUSED, (reason,))


def duplicate(tick: Tick, original: int | None) -> Line:
    """Return the line of a record that was seen before.

    Args:
        tick: The repeat.
        original: Offset in ticks.v1 of what it repeats; None when the bar has none such.
    """
    detail = "of a tick that is not in the offsets read"
    if original is not None:
        shared = "same trade id" if isinstance(tick.identity, str) else "same content"
        detail = f"of the tick at offset {original}: {shared}"
    return refused(tick, Reason("duplicate", detail))


def late_elsewhere(tick: Tick, late: Late) -> Line:
    """Return the line of a late trade outside the offsets that its bar names."""
    if late.revised:
        return refused(tick, Reason("not_yet", "it revised the bar after this emission of it"))
    return refused(tick, _too_late(late))


def _repeat(tick: Tick) -> Reason:
    detail = f"raw offset must be above {tick.behind}, published before it"
    return Reason("repeat", f"{detail}, was {tick.raw_offset}")


def _too_late(late: Late) -> Reason:
    detail = f"came when its series was at {_clock(late.stream_us)}, beyond revise_for"
    return Reason("too_late", f"{detail}: only recorded")


def _corrected(tick: Tick, by: Tick) -> Reason:
    price, was_price, size, was_size = map(_plain, (by.price, tick.price, by.size, tick.size))
    detail = f"price {price} was {was_price}, size {size} was {was_size}"
    return Reason("corrected", f"by the CORRECT at offset {by.offset}: {detail}")


def _limited(tick: Tick, uses: int) -> Reason:
    counts = [what for bit, what in _COUNTS.items() if uses & bit]
    detail = f"{','.join(tick.conditions)} counts for {', '.join(counts) or 'nothing'}"
    return Reason("conditions", detail)


def _plain(number: Decimal | None) -> str:
    return "" if number is None else f"{number.normalize(_EXACT):f}"


def _clock(at_us: int) -> str:
    return instant(at_us).isoformat().replace("+00:00", "Z")
