"""``tapeline bench latency``: from a raw tick's producer to every place where it can be seen.

All workers and the API run; probes (`tests.bench.probes`) go among a steady flow of other ticks,
and one process watches for them everywhere (`tests.bench.observer`). A probe counts as seen when
it, or a newer one of its symbol, is: quotes and provisional bars are conflated.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import psycopg

from app import topics
from app.cli.terminal import json_line, line, note, table
from app.compose import READS, ROLES
from app.errors import ConfigError
from connectors.producer import TickProducer
from tests.bench import observer, shown
from tests.bench.clients import served, wait_filled
from tests.bench.eyes import Eyes
from tests.bench.figures import machine
from tests.bench.ground import BenchFailed, Ground, ground
from tests.bench.pipeline import SERVERS
from tests.bench.probes import Flow, Probes, Sent, Sighting, send, send_probe
from tests.bench.watch import cpu_s_of, machine_cpu_s

LINGER_MS = 1.0
"""Of the producer of the raw ticks."""
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
WHOLE = ("Kafka quotes", "Kafka bars", "Postgres")
"""Places that must show every probe, or a newer one."""
LOGS = {"ticks.raw.v1, appended": topics.RAW, "ticks.v1, made": topics.TICKS}
"""By the records' own times: whole milliseconds, so at most."""
SETTLE_S, WITHIN_S = 1.0, 120.0
GREW_S = 2.0
"""Lag has grown when it is more by so many seconds' ticks."""


class Options(NamedTuple):
    """What is varied; `probes` are ticks a second, half of them quotes."""

    symbols: int
    probes: float
    seconds: float
    warm_s: float
    page: bool


def latency(rates: str, options: Options, *, as_json: bool) -> None:
    """Measure at one rate after the other, each on a ground of its own, and print.

    Raises:
        ConfigError: `rates` are no rates.
    """
    found = []
    for rate in rates_of(rates):
        with ground("latency", stores=True) as here:
            found.append(_measured(here, rate, options))
        if not as_json:
            _show(found[-1])
    if as_json:
        how = {"postgres_poll_s": observer.POLL_S, "linger_ms": LINGER_MS, "machine": machine()}
        json_line({"latency": found, **options._asdict(), **how})


def rates_of(text: str) -> list[float]:
    """Return the rates that a list of them names.

    Raises:
        ConfigError: It is none.
    """
    try:
        rates = [float(each) for each in text.split(",")]
    except ValueError:
        rates = [0.0]
    if not all(1 <= rate < math.inf for rate in rates):
        raise ConfigError(f"--rates must be ticks a second, such as 100,1000, was {text!r}")
    return rates


def _measured(here: Ground, rate: float, options: Options) -> dict[str, Any]:
    workers = [here.worker(role) for role in ROLES]
    wait_filled(here)
    probes = Probes.of_partitions(here.settings.partitions)
    lead = range(2 * len(probes.symbols))
    raw = here.settings.topic(topics.RAW)
    with (
        served(here, "tapeline") as (api, url),
        closing(Eyes(here, probes, url, page=options.page)) as eyes,
        ThreadPoolExecutor(1) as aside,
    ):
        eyes.expect("connected")
        with TickProducer(here.client, topic=raw, linger_ms=LINGER_MS) as producer:
            for n in lead:
                send_probe(producer, probes, n)
            eyes.expect("ready")
            note(f"{rate:,.0f} ticks/s for {options.warm_s:g} s and {options.seconds:g} s")
            flow = Flow.made(producer, rate, options.symbols, options.warm_s + options.seconds)
            before = aside.submit(_lag, here, options.warm_s)
            servers_s = {name: cpu_s_of(command) for name, command in SERVERS.items()}
            busy_s, cores_s = machine_cpu_s()
            sent = send(producer, flow, probes, len(lead), options.probes)
        servers_now_s = {name: cpu_s_of(command) for name, command in SERVERS.items()}
        busy_now_s, cores_now_s = machine_cpu_s()
        lag = {"first": before.result(), "last": _lag(here)}
        _until_read(here)
        seen = eyes.end()
        began, took_s = sent.began + options.warm_s, sent.ended - sent.began
        watches = {each.role: each.watch for each in (*workers, api)} | {"observer": eyes.watch}
        cpu = {
            **{n: w.cpu_s(began, sent.ended) / options.seconds for n, w in watches.items()},
            "sender": sent.cpu_s / took_s,
            **{n: (now_s - servers_s[n]) / took_s for n, now_s in servers_now_s.items()},
        }
    ticks = len(lead) + len(sent.produced) + len(flow.values)
    seen |= _checked(here, probes, len(lead) + len(sent.produced), ticks)
    return {
        "rate": rate,
        "ticks_per_s": round((ticks - len(lead)) / took_s),
        "sender_late_ms": round(1000 * sent.late_s, 1),
        "places": _places(probes, sent, began, seen),
        "cpu": {name: round(cores, 3) for name, cores in cpu.items()},
        "machine_busy": round((busy_now_s - busy_s) / (cores_now_s - cores_s), 3),
        "lag": lag,
        "lag_grew": any(lag["last"][r] - lag["first"][r] > GREW_S * rate for r in ROLES),
    }


def _places(
    probes: Probes, sent: Sent, since: float, seen: dict[str, list[Sighting]]
) -> dict[str, dict[str, Any]]:
    counted = {n: at for n, at in sent.produced.items() if at >= since}
    quotes = {n for n in counted if probes.is_quote(n)}
    found = {}
    for place in (*LOGS, *observer.PLACES, *shown.PLACES):
        if place not in seen:
            continue
        kinds = {"quotes": quotes, "bars": counted.keys() - quotes}
        wanted = kinds.get(place.rpartition(" ")[2], counted.keys())
        first = probes.first_seen(wanted, seen[place])
        late_ms = [1000 * (at - counted[n]) for n, at in first.items()]
        found[place] = figures(late_ms, len(wanted) - len(first))
        if place in WHOLE and len(wanted) != len(first):
            raise BenchFailed(f"{place}: {len(wanted) - len(first)} of {len(wanted)} never came")
    return found


def figures(late_ms: Sequence[float], never: int) -> dict[str, Any]:
    """Return the count and the percentiles, each the value of its nearest rank."""
    ordered = sorted(late_ms)
    shares = {
        f"{name}_ms": round(ordered[math.ceil(share * len(ordered)) - 1], 1)
        for name, share in SHARES.items()
        if ordered
    }
    return {"probes": len(ordered), **shares, "never_seen": never}


def _checked(here: Ground, probes: Probes, count: int, ticks: int) -> dict[str, list[Sighting]]:
    """Return when each probe was in the logs; all must be in ticks.v1 once, all ticks stored."""
    found = {place: probes.logged(here, topic) for place, topic in LOGS.items()}
    for place, sightings in found.items():
        numbers = sorted(n for n, _ in sightings)
        if numbers != list(range(count)):
            raise BenchFailed(
                f"{place}: each of {count} probes must be there once, {len(set(numbers))} of "
                f"them were, in {len(numbers)} records"
            )
    with psycopg.connect(here.env["POSTGRES_URL"]) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM ticks").fetchone() or (0,)
    if stored != ticks:
        raise BenchFailed(f"of {ticks} ticks {stored} were stored")
    return found


def _lag(here: Ground, after_s: float = 0) -> dict[str, int]:
    """Return how many records each role has not committed, after a while."""
    time.sleep(after_s)
    found: dict[str, int] = {}
    for role in ROLES:
        reads = {here.settings.group_of(role): [here.settings.topic(t) for t in READS[role]]}
        found[role] = sum(lag.records for lag in here.admin.lag(reads) if lag.end)
    return found


def _until_read(here: Ground) -> None:
    deadline_s, quiet = time.monotonic() + WITHIN_S, 0
    while quiet < 2:  # what one worker has just written, the next has not read
        quiet = 0 if any(_lag(here, 0.2).values()) else quiet + 1
        if time.monotonic() > deadline_s:
            raise BenchFailed(f"the workers did not read everything in {WITHIN_S:.0f} s")
    time.sleep(SETTLE_S)  # what was read last is on its way


def _show(found: dict[str, Any]) -> None:
    line(f"\n{found['ticks_per_s']:,} ticks/s, probes among them; from the producer on, in ms")
    line(
        f"sent {found['sender_late_ms']} ms late at most; Postgres was asked every "
        f"{1000 * observer.POLL_S:g} ms\n"
    )
    columns = ("probes", *(f"{name}_ms" for name in SHARES), "never_seen")
    table(
        ("seen at", *(column.replace("_", " ") for column in columns)),
        [(p, *(each.get(c) for c in columns)) for p, each in found["places"].items()],
    )
    line("\ncores: " + ", ".join(f"{name} {cores:.2f}" for name, cores in found["cpu"].items()))
    grew = "grew" if found["lag_grew"] else "did not grow"
    line(f"machine busy: {found['machine_busy']:.0%}; lag {grew}, records: {found['lag']}")
