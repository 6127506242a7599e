"""Bars by REST: the newest one, and pages of history across the hot and the warm store."""

import re
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Response

from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.documented import answers
from app.api.freshness import Origin
from app.api.history import Span, bars
from app.api.problems import Problem
from app.api.services import Services, unknown
from app.api.serving import Found, Served, respond, seen
from schemas.json_form import moment

router = APIRouter(prefix="/api/ohlc", tags=["bars"])

TIMEFRAME = r"^[A-Za-z0-9.]{1,24}$"
MOST_BARS = 5_000
_WHOLE = re.compile(r"-?\d{1,18}")
_MICROS = "^-?[0-9]{1,16}$"
_IS_TIME: dict[str, Any] = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": _MICROS}]
}
"""For the description; what fits it and is no time yet, such as a leap second, is refused."""
_PROVISIONAL = b'"is_final":false'

Timeframe = Annotated[
    str, Query(pattern=TIMEFRAME, description="Such as M1, H1, D1, M1.bid or T1000.")
]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


@router.get("/latest/{symbol:path}", responses=answers("bar"))
async def latest(
    symbol: str, services: Served, who: Viewer, timeframe: Timeframe = "M1"
) -> Response:
    """Return the bar that opened last, final or not."""
    name, venue = seen(services, who, symbol)
    kept = services.hub.newest(f"bars:{name}@{venue}:{timeframe}")
    if kept is not None:
        return respond(Found(msgspec.Raw(kept.body), (Origin.TOPICS,)).body(services))
    texts, origins = await bars(services, Span(name, venue, timeframe, None, None, 1))
    if not texts:
        raise unknown(f"{name}@{venue}:{timeframe}", "series")
    data = msgspec.Raw(texts[0].text.encode())
    return respond(Found(data, tuple(origins)).body(services))


@router.get("/{symbol:path}", responses=answers("bar", many=True, has_next=True))
async def history(  # noqa: PLR0913 - each is a parameter of the query
    symbol: str,
    services: Served,
    who: Viewer,
    timeframe: Timeframe = "M1",
    start: Annotated[
        str | None,
        Query(
            alias="from",
            description="First open_time: ISO 8601, or microseconds.",
            json_schema_extra=_IS_TIME,
        ),
    ] = None,
    end: Annotated[
        str | None,
        Query(
            alias="to",
            description="Open times before this; as `from`.",
            json_schema_extra=_IS_TIME,
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_BARS)] = 500,
    cursor: Annotated[
        str | None,
        Query(description="`next` of the page before.", json_schema_extra={"pattern": _MICROS}),
    ] = None,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Return the newest `limit` bars of a span, oldest first; `next` leads to the ones before.

    A page without provisional bars has an ETag: it changes only with a revision.
    """
    ends = [moment_of(end, "to"), moment_of(cursor, "cursor")]
    before = min((each for each in ends if each is not None), default=None)
    found = await page(services, who, symbol, timeframe, moment_of(start, "from"), before, limit)
    headers = {}
    if found.data and not any(_PROVISIONAL in bytes(each) for each in found.data):
        headers["ETag"] = tag = _tag(found)
        if if_none_match is not None and tag in re.split(r",\s*", if_none_match):
            return Response(status_code=304, headers=headers)
    return respond(found.body(services), headers)


async def page(  # noqa: PLR0913 - what names a page
    services: Services,
    who: Principal,
    text: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    limit: int,
) -> Found:
    """Return the newest `limit` bars of a span, oldest first; errors as of `seen` and `bars`."""
    name, venue = seen(services, who, text)
    texts, origins = await bars(services, Span(name, venue, timeframe, start, end, limit + 1))
    if not texts and (name, venue) not in services.series:
        raise unknown(f"{name}@{venue}")
    # One more than asked for: it says that there is a page before this one.
    held, has_more = texts[-limit:], len(texts) > limit
    data = [msgspec.Raw(each.text.encode()) for each in held]
    return Found(data, tuple(origins), str(held[0].open_us) if has_more else None)


def moment_of(text: str | None, name: str) -> datetime | None:
    """Return the time that a parameter is; None stays None.

    Raises:
        Problem: 422: it is neither ISO 8601 nor microseconds.
    """
    if text is None:
        return None
    try:
        time = moment(int(text)) if _WHOLE.fullmatch(text) else _iso(text)
    except (ValueError, OverflowError):
        raise Problem(
            422, "Invalid request",
            f"{name} must be an ISO 8601 time or whole microseconds since 1970, was {text!r}",
            errors=[{"field": name, "in": "query", "value": text}],
        ) from None  # fmt: skip
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # The plus of an offset arrives as a space when a client did not escape it.
        return datetime.fromisoformat(text.replace(" ", "+"))


def _tag(found: Found) -> str:
    digest = blake2b(digest_size=12)
    for each in found.data:
        digest.update(each)
    return f'"{digest.hexdigest()}{"+" if found.next_page else ""}"'
