"""REST under many clients at once: the newest quote, the newest bar, a history of 1,000 bars."""

import asyncio
import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import uvloop

from app import topics
from app.cli.terminal import json_line, note, table
from app.partitions import partition_of
from connectors.hot_redis import RedisHotStore
from tests.bench.clients import served
from tests.bench.figures import machine
from tests.bench.ground import BenchFailed, Ground, ground
from tests.contract import records

SYMBOL, VENUE = "BTC/USD", "BENCH"
BARS = TICKS = 1_000
PATHS = {
    "latest quote": f"/api/quotes/latest/{SYMBOL}@{VENUE}",
    "latest bar": f"/api/ohlc/latest/{SYMBOL}@{VENUE}",
    "1,000 bars": f"/api/ohlc/{SYMBOL}@{VENUE}?limit=1000",
    "1,000 ticks": f"/api/quotes/history/{SYMBOL}@{VENUE}?limit=1000",
}
WARM_UP_S = 2.0
DIRECT_CALLS = 200


def rest(clients: int, seconds: float, *, as_json: bool) -> None:
    """Measure each path with `clients` that ask again as soon as they are answered."""
    found: dict[str, dict[str, Any]] = {}
    with ground("rest", stores=True) as here:
        filled(here)
        found["Redis, 1,000 ticks, direct"] = direct(here)
        with served(here, "tapeline") as (server, url):
            for name, path in PATHS.items():
                note(f"{name}: {clients} clients")
                start = time.time()
                found[name] = uvloop.run(
                    asked(url.replace("ws://", "http://"), path, clients, seconds)
                )
                cpu_s = server.watch.cpu_s(start, time.time())
                found[name]["server CPU"] = round(cpu_s / (time.time() - start), 2)
    if as_json:
        json_line({"rest": found, "machine": machine()})
        return
    names = ("answers/s", "p50 ms", "p99 ms", "max ms", "KB", "server CPU")
    table(
        ("", *names), [(what, *(each.get(n, "-") for n in names)) for what, each in found.items()]
    )


def filled(here: Ground) -> None:
    """Put bars, a quote and ticks into Redis, and mark them as whole, as its worker would."""
    base = datetime(2025, 11, 20, 10, tzinfo=UTC)
    series = {"symbol": SYMBOL, "venue": VENUE}
    bars = [
        records.bar(
            **series, open_time=base + timedelta(minutes=n), revision=1, is_final=True,
            close=Decimal(n + 1) / 8,
        )
        for n in range(BARS + 1)
    ]  # fmt: skip
    ticks: pl.DataFrame = records.ticks(
        *({**series, "offset": n, "raw_offset": n, "trade_id": str(n)} for n in range(TICKS))
    )
    partition = partition_of(SYMBOL, here.settings.partitions)
    with closing(RedisHotStore(here.env["REDIS_URL"], prefix=here.settings.redis_prefix)) as store:
        store.put_bars(bars)
        store.put_quotes([records.quote(**series)])
        store.put_ticks(ticks)
        for topic in (topics.BARS, topics.QUOTES, topics.TICKS):
            store.mark_whole(f"{topic.name}:{partition}", store.era())


def direct(here: Ground) -> dict[str, Any]:
    """Return how long Redis takes for the newest 1,000 ticks, asked without the API."""
    took = []
    with closing(RedisHotStore(here.env["REDIS_URL"], prefix=here.settings.redis_prefix)) as store:
        for _ in range(DIRECT_CALLS):
            began_s = time.perf_counter()
            held = store.tick_texts("p", SYMBOL, VENUE, TICKS)
            took.append(1000 * (time.perf_counter() - began_s))
            if len(held.value) != TICKS:
                raise BenchFailed(f"Redis must hold {TICKS} ticks, held {len(held.value)}")
    return {**percentiles(took), "answers/s": "-"}


async def asked(base: str, path: str, clients: int, seconds: float) -> dict[str, Any]:
    """Return rates and percentiles of what `clients` saw."""
    host = urlsplit(base)
    took: list[float] = []
    sizes: list[int] = []
    began_s = time.monotonic()
    until_s = began_s + WARM_UP_S + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        request = f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode()
        while time.monotonic() < until_s:
            sent_s = time.perf_counter()
            writer.write(request)
            sizes.append(await answered(reader))
            if time.monotonic() > began_s + WARM_UP_S:
                took.append(1000 * (time.perf_counter() - sent_s))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return {
        **percentiles(took),
        "answers/s": round(len(took) / seconds),
        "KB": round(sizes[-1] / 1000, 1),
    }


async def answered(reader: asyncio.StreamReader) -> int:
    """Read one answer; return its body's length."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise BenchFailed(head.decode())
    size = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    body = await reader.readexactly(size)
    if size < 100:
        raise BenchFailed(json.dumps(body.decode()))
    return size


def percentiles(took: list[float]) -> dict[str, float]:
    """Return percentiles of milliseconds."""
    took = sorted(took)
    shares = {"p50 ms": 0.5, "p99 ms": 0.99, "max ms": 1.0}
    last = len(took) - 1
    return {
        name: round(took[min(last, int(share * len(took)))], 2) for name, share in shares.items()
    }
