"""What there is: symbols, anomalies, gaps."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.documented import answers, envelope
from app.api.freshness import Origin
from app.api.hub import ANOMALIES_KEPT
from app.api.services import Services
from app.api.serving import Found, Served, respond, seen

router = APIRouter(prefix="/api")

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Symbol = Annotated[str | None, Query(description="SYMBOL@VENUE; left out: all.")]
MOST_GAPS = 1_000

_SERIES = {
    "type": "object",
    "required": ["symbol", "venue"],
    "properties": {"symbol": {"type": "string"}, "venue": {"type": "string"}},
}


@router.get(
    "/symbols",
    tags=["symbols"],
    responses=envelope(
        {"type": "array", "items": _SERIES}, [{"symbol": "BTC/USD", "venue": "KRAKEN"}]
    ),
)
async def symbols(services: Served, who: Viewer) -> Response:
    """Return every series that has a bar, a quote or a tick, by symbol and venue."""
    return respond(known(services, who).body(services))


def known(services: Services, who: Principal) -> Found:
    """Return every series that the principal may see."""
    data = [
        {"symbol": symbol, "venue": venue}
        for symbol, venue in sorted(services.series)
        if who.may_see(f"{symbol}@{venue}")
    ]
    return Found(data, (Origin.HOT,))


@router.get("/anomalies", tags=["anomalies"], responses=answers("anomaly", many=True))
async def anomalies(
    services: Served,
    who: Viewer,
    symbol: Symbol = None,
    limit: Annotated[int, Query(ge=1, le=ANOMALIES_KEPT)] = 100,
) -> Response:
    """Return the newest anomalies, oldest first."""
    return respond(odd(services, who, symbol, limit).body(services))


def odd(services: Services, who: Principal, symbol: str | None, limit: int) -> Found:
    """Return the newest anomalies, of one series or of all; errors as of `seen`."""
    wanted = None if symbol is None else "@".join(seen(services, who, symbol))
    found = [
        msgspec.Raw(each.body)
        for each in services.hub.anomalies
        for series in [each.stream.partition(":")[2]]
        if wanted in {None, series} and who.may_see(series)
    ]
    return Found(found[-limit:], (Origin.TOPICS,))


@router.get("/gaps", tags=["gaps"], responses=answers("gap", many=True))
async def gaps(
    services: Served,
    who: Viewer,
    symbol: Symbol = None,
    repaired: Annotated[bool, Query(description="Repaired ones, too.")] = False,  # noqa: FBT002
    limit: Annotated[int, Query(ge=1, le=MOST_GAPS)] = 100,
) -> Response:
    """Return the gaps that were found last, oldest first."""
    return respond(missing(services, who, symbol, limit, repaired=repaired).body(services))


def missing(
    services: Services, who: Principal, symbol: str | None, limit: int, *, repaired: bool
) -> Found:
    """Return the newest gaps, of one series or of all; errors as of `seen`."""
    wanted = None if symbol is None else "@".join(seen(services, who, symbol))
    found = [
        gap
        for gap in services.hub.gaps.values()
        for series in [f"{gap['symbol']}@{gap['venue']}"]
        if (repaired or gap["repaired_at"] is None)
        and wanted in {None, series}
        and who.may_see(series)
    ]
    found.sort(key=lambda gap: (gap["detected_at"], gap["symbol"], gap["from_id"]))
    return Found(found[-limit:], (Origin.TOPICS,))
