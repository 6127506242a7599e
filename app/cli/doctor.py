"""``tapeline doctor``: does everything that Tapeline stands on answer, and if not, what to do."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import typer

from app import topics
from app.cli.background import running
from app.cli.schemas import faults_of_schemas
from app.cli.terminal import AsJson, json_line, line
from app.cli.topics import kafka_admin
from app.errors import TapelineError
from app.settings import Settings, load
from connectors import migrations
from connectors.hot_redis import RedisHotStore
from connectors.migrations import Flavour
from connectors.postgres import Connections
from connectors.registry import open_registry
from connectors.warm_postgres import PostgresWarmStore
from schemas.registry import names

CLOCK_LIMIT_S = 1.0


class Check(NamedTuple):
    """One thing that was looked at; `remedy` says what to do if it is not well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def doctor(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Check brokers, topics, schemas, Redis, Postgres, clocks and workers; say what to do."""
    checks = list(examine(load()))
    for check in checks:
        if as_json:
            json_line(check._asdict())
        else:
            line(f"{'ok' if check.ok else 'NOT OK':<7} {check.name:<10} {check.detail}")
            if not check.ok and check.remedy:
                line(f"{'':<18} → {check.remedy}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Check]:
    """Yield one check after the other; a failed one does not end the rest."""
    looks: dict[str, tuple[Callable[[Settings], Check], str]] = {
        "kafka": (_brokers, "start it (`tapeline up`) or set KAFKA_BOOTSTRAP_SERVERS"),
        "topics": (_topics, "run `tapeline topics apply`"),
        "schemas": (_schemas, "see `tapeline schemas check`, then `tapeline schemas register`"),
        "redis": (_redis, "start it (`tapeline up`) or set REDIS_URL"),
        "postgres": (_postgres, "start it (`tapeline up`) or set POSTGRES_URL"),
        "tables": (_tables, "run `tapeline migrate`"),
        "clock": (_clock, "synchronise this machine's clock (NTP)"),
        "workers": (_workers, "run `tapeline up`"),
    }
    for name, (look, remedy) in looks.items():
        try:
            check = look(settings)
        except TapelineError as error:
            check = Check(name, ok=False, detail=str(error))
        yield check._replace(name=name, remedy="" if check.ok else check.remedy or remedy)


def _brokers(settings: Settings) -> Check:
    return Check("", ok=True, detail=", ".join(kafka_admin(settings).brokers()))


def _topics(settings: Settings) -> Check:
    found = kafka_admin(settings).diff(topics.ALL, settings.partitions)
    detail = "; ".join(each.detail for each in found)
    return Check("", not found, detail or f"{len(topics.ALL)}, {settings.partitions} partitions")


def _schemas(settings: Settings) -> Check:
    faults = faults_of_schemas()
    if faults:
        return Check("", ok=False, detail="; ".join(faults))
    registry = open_registry(settings.schema_registry_url)
    ids = [registry.id_of(name) for name in names()]
    where = "registry" if settings.schema_registry_url else "built in"
    return Check("", ok=True, detail=f"{len(ids)}, {where}")


def _redis(settings: Settings) -> Check:
    with closing(RedisHotStore(settings.redis_url)) as store:
        return Check("", ok=True, detail=store.ping())


def _postgres(settings: Settings) -> Check:
    with closing(PostgresWarmStore(settings.postgres_url)) as store:
        return Check("", ok=True, detail=store.ping())


def _tables(settings: Settings) -> Check:
    with Connections(settings.postgres_url).connect() as connection:
        there = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
        query = "SELECT name, checksum, flavour FROM schema_migrations"
        done = connection.execute(query).fetchall() if there and there[0] else []
    if not done:
        return Check("", ok=False, detail="none yet")
    ran = {name: checksum for name, checksum, _ in done}
    waiting = [m.name for m in migrations.plan(migrations.shipped(), Flavour(done[0][2]), ran)]
    detail = f"not applied: {', '.join(waiting)}" if waiting else "up to date"
    return Check("", not waiting, detail)


def _clock(settings: Settings) -> Check:
    with Connections(settings.postgres_url).connect() as connection:
        before_s = time.time()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        after_s = time.time()
    theirs_s = float(row[0]) if row else after_s
    off_s = max(before_s - theirs_s, theirs_s - after_s, 0.0)
    return Check("", off_s <= CLOCK_LIMIT_S, f"{off_s:.3f} s from Postgres's")


def _workers(settings: Settings) -> Check:
    alive = [worker for worker in running(settings.home) if worker.pid() is not None]
    silent = [worker.role for worker in alive if not worker.ready_file.exists()]
    words = ", ".join(f"{worker.role} (pid {worker.pid()})" for worker in alive)
    if silent:
        detail = f"not ready: {', '.join(silent)}"
        return Check("", ok=False, detail=detail, remedy=f"see the log {alive[0].log}")
    return Check("", bool(alive), words or "none runs here")
