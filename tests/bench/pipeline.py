"""``tapeline bench pipeline``: from raw ticks to bars, quotes, Redis and Postgres, all at once."""

import time
from typing import Any, NamedTuple

import psycopg

from app import topics
from app.cli.pace import Pace
from app.cli.terminal import json_line, line, note, table
from app.compose import READS, ROLES, Role
from tests.bench import stages
from tests.bench.engine import about
from tests.bench.ground import BenchFailed, Ground, Worker, ground
from tests.bench.ticks import Sent, check_bars, expected_bars, publish
from tests.bench.watch import cpu_s_of, machine_cpu_s

WITHIN_S = 900.0
POLL_S = 0.2
SERVERS = {"broker": "java", "Redis": "redis-server", "Postgres": "postgres"}
"""Commands of the servers; their CPU is that of all processes of the name on this machine."""
AGENTS: dict[Role, tuple[str, ...]] = {
    "compute": ("normalize", "bars", "quotes"),
    "hot": ("hot-ticks", "hot-bars", "hot-quotes"),
    "warm": ("warm-ticks", "warm-bars"),
}


class Offered(NamedTuple):
    """The ticks on their way: when the first was there to be processed, and what was sent."""

    began: float
    sent: Sent


def pipeline(ticks: int, symbols: int, rate: float, stage_ticks: int, *, as_json: bool) -> None:
    """Run all roles over the ticks, then time the stages one by one, then print.

    Args:
        ticks: How many.
        symbols: Of how many symbols.
        rate: Ticks a second while the workers run; 0 has them all in the topic before.
        stage_ticks: How many for the stages; 0 leaves them out.
        as_json: Whether a last line holds everything.
    """
    with ground("pipeline", stores=True) as here:
        result = _measured(here, ticks, symbols, rate)
    _show(result)
    if stage_ticks:
        result["stages"] = [row._asdict() for row in stages.run(stage_ticks, symbols)]
        stages.show(result["stages"])
    if as_json:
        json_line(result)


def _measured(here: Ground, ticks: int, symbols: int, rate: float) -> dict[str, Any]:
    servers, (busy, cores) = _servers_cpu_s(), machine_cpu_s()
    workers, offered = _offer(here, ticks, symbols, rate)
    done = _until_read(here, workers)
    servers_now, (busy_now, cores_now) = _servers_cpu_s(), machine_cpu_s()
    agents = {name: _agent(workers[role], name) for role in ROLES for name in AGENTS[role]}
    ends = here.admin.ends([here.settings.topic(topics.TICKS)])
    by_partition = {at.partition: end for at, end in ends.items()}
    bars = expected_bars(offered.sent.ticks, here.settings.timeframes)
    done["compute"] = check_bars(here, bars, dict.fromkeys(by_partition, 0), by_partition)
    _check_counts(here, ticks, sum(by_partition.values()))
    seconds = max(done.values()) - offered.began
    return {
        "ticks_per_s": round(ticks / seconds),
        "seconds": round(seconds, 2),
        "offered_ticks_per_s": rate or None,
        "groups": {
            role: {
                "ticks_per_s": round(ticks / (at - offered.began)),
                "cpu_s_per_million": round(
                    workers[role].watch.cpu_s(offered.began, at) / ticks * 1e6, 2
                ),
                "peak_mb": round(workers[role].watch.peak_mb),
            }
            for role, at in done.items()
        },
        "servers_cpu_s_per_million": {
            name: round((servers_now[name] - was) / ticks * 1e6, 2) for name, was in servers.items()
        },
        "machine_busy": round((busy_now - busy) / (cores_now - cores), 3),
        "agents": agents,
        **about(here, ticks, symbols, offered.sent.bytes_per_tick),
    }


def _offer(
    here: Ground, ticks: int, symbols: int, rate: float
) -> tuple[dict[Role, Worker], Offered]:
    """Start the workers, and publish before that, or beside them at `rate`."""
    if not rate:
        note(f"publishing {ticks:,} raw ticks of {symbols} symbols")
        sent = publish(here, ticks, symbols, topics.RAW)
        workers = {role: here.worker(role) for role in ROLES}
        _await(workers["compute"], lambda worker: worker.of_agent("ticks_total", "normalize"))
        return workers, Offered(time.time(), sent)
    workers = {role: here.worker(role) for role in ROLES}
    for role, worker in workers.items():
        gauge = f'tapeline_assigned_partitions{{role="{role}"}}'
        _await(worker, lambda each, name=gauge: each.metrics().get(name))
    note(f"publishing {ticks:,} raw ticks of {symbols} symbols, {rate:,.0f} a second")
    began = time.time()
    sent = publish(here, ticks, symbols, topics.RAW, Pace(rate))
    note(f"published in {time.time() - began:.1f} s")
    return workers, Offered(began, sent)


def _await(worker: Worker, answer: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not answer(worker):
        if time.monotonic() > deadline:
            raise BenchFailed(f"worker {worker.role} did not get ready")
        time.sleep(0.01)


def _until_read(here: Ground, workers: dict[Role, Worker]) -> dict[Role, float]:
    """Wait until no group has anything left; return when each was seen to be there.

    Lag is judged by the committed offsets, so each is late by a checkpoint, 1 s, at most.
    """
    names = {here.settings.group_of(role): role for role in ROLES}
    reads = {group: [here.settings.topic(t) for t in READS[role]] for group, role in names.items()}
    done: dict[Role, float] = {}
    deadline = time.monotonic() + WITHIN_S
    quiet = 0
    while quiet < 2:  # what one worker has just written, the next has not read
        time.sleep(POLL_S)
        behind = {names[lag.group] for lag in here.admin.lag(reads) if lag.end and lag.records}
        for role in ROLES:
            if role in behind:
                done.pop(role, None)
            else:
                done.setdefault(role, time.time())
            if workers[role].process.poll() is not None:
                workers[role].metrics()
        quiet = 0 if behind else quiet + 1
        if time.monotonic() > deadline:
            raise BenchFailed(f"{sorted(behind)} did not read everything in {WITHIN_S:.0f} s")
    return done


def _check_counts(here: Ground, ticks: int, published: int) -> None:
    with psycopg.connect(here.env["POSTGRES_URL"]) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM ticks").fetchone() or (0,)
    if (published, stored) != (ticks, ticks):
        raise BenchFailed(f"of {ticks} ticks {published} were published and {stored} stored")


def _agent(worker: Worker, name: str) -> dict[str, Any]:
    records = worker.of_agent("ticks_total", name)
    seconds = worker.of_agent("block_seconds_sum", name)
    blocks = worker.of_agent("block_seconds_count", name)
    return {
        "records": round(records),
        "blocks": round(blocks),
        "us_per_record": round(seconds / records * 1e6, 3) if records else None,
    }


def _servers_cpu_s() -> dict[str, float]:
    return {name: cpu_s_of(command) for name, command in SERVERS.items()}


def _show(result: dict[str, Any]) -> None:
    line(f"{result['ticks_per_s']:,} ticks/s from raw ticks to all stores, no lag left\n")
    table(
        ("group", "ticks/s", "CPU s / million", "peak MB"),
        [
            (role, f"{each['ticks_per_s']:,}", each["cpu_s_per_million"], each["peak_mb"])
            for role, each in result["groups"].items()
        ],
    )
    servers = result["servers_cpu_s_per_million"].items()
    line("\nservers, CPU s / million: " + ", ".join(f"{name} {cpu_s}" for name, cpu_s in servers))
    line(f"cores busy: {result['machine_busy']:.0%}, by whatever runs here\n")
    table(
        ("agent", "records", "blocks", "us / record"),
        [
            (name, f"{each['records']:,}", each["blocks"], each["us_per_record"])
            for name, each in result["agents"].items()
        ],
    )
    line("")
