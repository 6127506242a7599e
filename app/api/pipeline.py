"""The pipeline as operators see it: rates, lag, health, feeds, alerts, and the broom."""

import time
from collections import Counter, defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.documented import envelope
from app.api.freshness import Origin
from app.api.services import Services
from app.api.serving import Found, Served, respond
from app.breaker import State
from app.domain.ports import Row

ops = APIRouter(
    prefix="/api/pipeline", tags=["pipeline"], dependencies=[Depends(require(Role.OPS))]
)
admin = APIRouter(prefix="/admin/pipeline", tags=["pipeline"])

FEED_SILENT_S = 60.0
_THING: dict[str, Any] = {"type": "object"}
_ALERT = {"alert": "stale", "severity": "critical", "detail": "hot is 41 s behind"}


@ops.get("/stats", responses=envelope(_THING, {"records_per_s": {"ticks.v1": 1250.0}}))
async def stats(services: Served) -> Response:
    """Return rates of the topics, lag of the groups, and who listens."""
    lag: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for place in services.freshness.places:
        lag[place.role][place.topic] += place.end - max(place.committed, 0)
    data = {
        "records_per_s": dict(services.rates),
        "lag_records": {role: dict(topics) for role, topics in lag.items()},
        "series": len(services.series),
        "clients": services.metrics.clients,
        "subscriptions": services.hub.listeners,
        "up_s": round(time.time() - services.started_s, 1),
    }
    return respond(Found(data, (Origin.TOPICS,)).body(services))


@ops.get("/health", responses=envelope(_THING, {"status": "ok"}))
async def health(services: Served) -> Response:
    """Return whether each part answers, and how far each store is behind; always 200."""
    data = {"status": "ok", **_parts(services)}
    if any(part["status"] != "ok" for part in data["parts"].values()):
        data["status"] = "degraded"
    return respond(Found(data, (Origin.TOPICS,)).body(services))


def _parts(services: Services) -> dict[str, Any]:
    parts: dict[str, dict[str, Any]] = {}
    contact_s = services.freshness.contact_s(time.monotonic())
    away = contact_s > services.settings.api_stale_after_s
    parts["kafka"] = {"status": "away" if away else "ok", "answered_s_ago": round(contact_s, 3)}
    for name, edge in (("redis", services.hot_edge), ("postgres", services.warm_edge)):
        is_closed = edge.breaker.state is State.CLOSED
        parts[name] = {"status": "ok" if is_closed else "away"}
    for origin in Origin:
        age = services.age(origin)
        parts[origin.value] = {
            "status": "stale" if age.stale else "ok", "age_s": round(age.age_s, 3),
        }  # fmt: skip
    return {"parts": parts}


@ops.get(
    "/feed-health",
    responses=envelope({"type": "array", "items": _THING}, [{"venue": "KRAKEN", "series": 2}]),
)
async def feed_health(services: Served) -> Response:
    """Return, for each venue: its series, its newest record, and its open gaps."""
    return respond(feeds(services).body(services))


def feeds(services: Services) -> Found:
    """Return how each venue does."""
    open_gaps = Counter(gap["venue"] for gap in services.hub.gaps.values() if _is_open(gap))
    series = Counter(venue for _, venue in services.series)
    newest_ms: dict[str, int] = {}
    for name in services.hub.streams():
        update = services.hub.newest(name)
        venue = name.partition("@")[2].partition(":")[0]
        if update is not None:
            newest_ms[venue] = max(newest_ms.get(venue, 0), update.append_ms)
    now_s = time.time()
    data = []
    for venue in sorted(series.keys() | newest_ms.keys()):
        seen_ms = newest_ms.get(venue)
        silent_s = None if seen_ms is None else round(max(0.0, now_s - seen_ms / 1000), 3)
        is_live = silent_s is not None and silent_s < FEED_SILENT_S
        data.append(
            {
                "venue": venue,
                "status": "live" if is_live else "silent",
                "series": series[venue],
                "silent_s": silent_s,
                "open_gaps": open_gaps[venue],
            }
        )
    return Found(data, (Origin.TOPICS,))


def _is_open(gap: Row) -> bool:
    return gap["repaired_at"] is None


@ops.get("/alerts", responses=envelope({"type": "array", "items": {"type": "object"}}, [_ALERT]))
async def alerts(services: Served) -> Response:
    """Return what needs a person now."""
    found = [
        _alert("critical", name, f"{name} is {part['status']}")
        for name, part in _parts(services)["parts"].items()
        if part["status"] != "ok"
    ]
    letters = services.rates.get("ticks.dlq.v1", 0.0)
    if letters:
        found.append(_alert("warn", "dead_letters", f"{letters:.1f} dead letters a second"))
    gaps = sum(_is_open(gap) for gap in services.hub.gaps.values())
    if gaps:
        found.append(_alert("warn", "gaps", f"open gaps: {gaps}"))
    return respond(Found(found, (Origin.TOPICS,)).body(services))


def _alert(severity: str, alert: str, detail: str) -> dict[str, str]:
    return {"alert": alert, "severity": severity, "detail": detail}


@admin.post("/cleanup", responses=envelope(_THING, {"maintained": "3 days made, 1 dropped"}))
async def cleanup(
    services: Served, who: Annotated[Principal, Depends(require(Role.ADMIN))]
) -> Response:
    """Drop what is older than its retention, and make room for the coming days, now."""
    done = await services.warm_edge.call(services.warm.maintain)
    found = Found({"maintained": str(done), "by": who.name}, (Origin.WARM,))
    return respond(found.body(services))
