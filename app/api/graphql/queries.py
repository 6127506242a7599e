"""What may be asked: what REST answers, by the same functions."""

import re
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from app.api import listed, ohlc, pipeline, quotes
from app.api.access.roles import Role
from app.api.graphql import types
from app.api.graphql.caller import Caller
from app.api.graphql.types import Micros
from app.api.hub import ANOMALIES_KEPT
from app.api.listed import MOST_GAPS
from app.api.ohlc import MOST_BARS, TIMEFRAME
from app.api.problems import INVALID, Problem
from schemas.json_form import moment

From = Annotated[Micros | None, strawberry.argument(name="from", description="First open_time.")]
To = Annotated[Micros | None, strawberry.argument(name="to", description="Open times before it.")]
Before = Annotated[str | None, strawberry.argument(description="`next` of the page after it.")]


@strawberry.type
class Query:
    """What may be asked."""

    @types.answers(types.QuoteAnswer)
    async def quote(self, info: Info[Caller, None], series: str) -> Any:
        """Return the newest quote of SYMBOL@VENUE."""
        it = info.context
        return it.answer(await quotes.newest(it.services, it.who, series))

    @types.answers(types.BarsAnswer)
    async def bars(  # noqa: PLR0913 - arguments of the query
        self,
        info: Info[Caller, None],
        series: str,
        timeframe: str = "M1",
        start: From = None,
        end: To = None,
        limit: int = 500,
        before: Before = None,
    ) -> Any:
        """Return the newest `limit` bars of a span, oldest first."""
        it = info.context
        within(limit, MOST_BARS)
        check_timeframe(timeframe)
        ends = [None if end is None else moment(end), ohlc.moment_of(before, "before")]
        last = min((each for each in ends if each is not None), default=None)
        first = None if start is None else moment(start)
        return it.answer(
            await ohlc.page(it.services, it.who, series, timeframe, first, last, limit)
        )

    @types.answers(types.SymbolsAnswer)
    async def symbols(self, info: Info[Caller, None]) -> Any:
        """Return every series, by symbol and venue."""
        it = info.context
        return it.answer(listed.known(it.services, it.who))

    @types.answers(types.AnomaliesAnswer)
    async def anomalies(
        self, info: Info[Caller, None], series: str | None = None, limit: int = 100
    ) -> Any:
        """Return the newest anomalies, of one series or of all, oldest first."""
        it = info.context
        within(limit, ANOMALIES_KEPT)
        return it.answer(listed.odd(it.services, it.who, series, limit))

    @types.answers(types.GapsAnswer)
    async def gaps(
        self,
        info: Info[Caller, None],
        series: str | None = None,
        repaired: bool = False,  # noqa: FBT002 - an argument of the query
        limit: int = 100,
    ) -> Any:
        """Return the newest gaps, of one series or of all, oldest first."""
        it = info.context
        within(limit, MOST_GAPS)
        return it.answer(listed.missing(it.services, it.who, series, limit, repaired=repaired))

    @types.answers(types.FeedsAnswer, "feedHealth")
    async def feed_health(self, info: Info[Caller, None]) -> Any:
        """Return how each venue does; role ops."""
        it = info.context
        await it.needs(Role.OPS)
        return it.answer(pipeline.feeds(it.services))


def within(limit: int, most: int) -> None:
    """Raise the problem of a limit that is none."""
    if not 1 <= limit <= most:
        raise Problem(INVALID, "Invalid request", f"limit must be 1 to {most}, was {limit}")


def check_timeframe(timeframe: str) -> None:
    """Raise the problem of a timeframe that is none."""
    if not re.fullmatch(TIMEFRAME, timeframe):
        raise Problem(
            INVALID, "Invalid request", f"timeframe must match {TIMEFRAME}, was {timeframe[:64]!r}"
        )
