"""What the stores hold: bars across both without a seam, the newest quote, the newest ticks.

The hot store is believed only where its worker has marked it whole, in the same moment: one that
lost something and is being filled again answers like any other, with holes.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from app import topics
from app.api.freshness import Origin
from app.api.problems import unavailable
from app.api.services import Services
from app.breaker import CircuitOpen
from app.domain.ports import BarText, Row
from app.errors import StoreUnavailable
from schemas.json_form import microseconds, moment, to_json


@dataclass(frozen=True, slots=True)
class Span:
    """Which bars: start <= open_time < end, the newest `limit`; None is no bound."""

    symbol: str
    venue: str
    timeframe: str
    start: datetime | None
    end: datetime | None
    limit: int

    @property
    def series(self) -> tuple[str, str, str]:
        """What names the series."""
        return self.symbol, self.venue, self.timeframe


async def bars(services: Services, span: Span) -> tuple[list[BarText], list[Origin]]:
    """Return bars, oldest first, and where they are from.

    The hot store has every bar from its oldest one on, as long as it is marked whole; what is
    before that comes from the warm one, up to that bar. Where it is not whole, or away, all comes
    from the warm one.

    Raises:
        StoreUnavailable, CircuitOpen: What is asked for is out of reach now.
    """
    found: list[BarText] = []
    try:
        held = await services.hot_edge.call(
            services.hot.bar_texts, services.part(topics.BARS, span.symbol),
            *span.series, span.limit, span.start, span.end,
        )  # fmt: skip
        found = held.value if held.is_whole else []
    except (StoreUnavailable, CircuitOpen):
        pass  # all comes from the warm one
    if len(found) >= span.limit:
        return found, [Origin.HOT]
    end = moment(found[0].open_us) if found else span.end
    rows = await services.warm_edge.call(
        services.warm.bars, *span.series, span.start, end, span.limit - len(found)
    )
    older = [BarText(microseconds(row["open_time"]), to_json("bar", row)) for row in rows]
    origins = [Origin.WARM] if not found else [Origin.HOT]
    return older + found, [Origin.WARM, *origins] if older and found else origins


async def quote(services: Services, symbol: str, venue: str) -> Row | None:
    """Return the newest quote of the hot store, None when there is none.

    Raises:
        Problem: 503 while the store is being filled.
        StoreUnavailable, CircuitOpen: It is out of reach.
    """
    part = services.part(topics.QUOTES, symbol)
    held = await services.hot_edge.call(services.hot.held_quote, part, symbol, venue)
    if not held.is_whole:
        raise unavailable("The hot store is being filled; what it holds may be old.")
    return held.value


async def ticks(
    services: Services, symbol: str, venue: str, limit: int
) -> tuple[list[str], Origin]:
    """Return the newest ticks as JSON, oldest first.

    From the warm store while the hot one may lack some.

    Raises:
        StoreUnavailable, CircuitOpen: They are out of reach.
    """
    part = services.part(topics.TICKS, symbol)
    with suppress(StoreUnavailable, CircuitOpen):
        held = await services.hot_edge.call(services.hot.tick_texts, part, symbol, venue, limit)
        if held.is_whole:
            return held.value, Origin.HOT
    rows = await services.warm_edge.call(services.warm.ticks, symbol, venue, None, None, limit)
    return [to_json("tick", row) for row in rows], Origin.WARM
