"""Bring a Postgres database to the tables this release needs.

The files of infra/migrations run in the order of their numbers, each once, and are recorded with
their checksum. `0002_ticks.plain.sql` runs without TimescaleDB, `0002_ticks.timescaledb.sql` with
it, `0001_bars.sql` on both. A file and its record are one transaction, so a run that was killed
goes on where it stopped. A file that begins with the line `-- no transaction` holds statements
that refuse to run in one; each ends with `;` at the end of a line and can be run again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import psycopg

from app.errors import StoreError, StoreUnavailable
from connectors.postgres import Connection, Connections

_LOCK = 0x7A9E1146
NO_TRANSACTION = "-- no transaction"

RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name        text        PRIMARY KEY,
    checksum    text        NOT NULL,
    flavour     text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
IS_LOADED = "SELECT EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%')"
"""The library defines settings once it is preloaded; without that CREATE EXTENSION would end the
connection."""

FIND_EXTENSION = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"


class MigrationFailed(StoreError):
    """The database and the files of this release do not fit; a person must look."""


class Flavour(Enum):
    """Which files a database takes; chosen at its first migration and kept."""

    PLAIN = "plain"
    TIMESCALEDB = "timescaledb"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.text.encode()).hexdigest()

    def fits(self, flavour: Flavour) -> bool:
        """Return whether a database of `flavour` takes it."""
        suffix = self.name.removesuffix(".sql").rpartition(".")
        return not suffix[1] or suffix[2] == flavour.value

    def statements(self) -> list[str]:
        """Return what is sent to the server at a time."""
        if not self.text.startswith(NO_TRANSACTION):
            return [self.text]
        return [part.strip() for part in (self.text + "\n").split(";\n") if part.strip()]


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a run found and did.

    Attributes:
        flavour: Whose files the database takes.
        extension: Version of TimescaleDB in the database, if any.
        applied: Names of the files that ran now, in order.
    """

    flavour: Flavour
    extension: str | None
    applied: tuple[str, ...]


def shipped(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations of this release, or of `folder`, in order."""
    found = (folder or files("infra") / "migrations").iterdir()
    named = {file.name: file for file in found if file.name.endswith(".sql")}
    return [Migration(name, named[name].read_text()) for name in sorted(named)]


def plan(
    migrations: Sequence[Migration], flavour: Flavour, done: dict[str, str]
) -> list[Migration]:
    """Return what is still to run on a database of `flavour`.

    Args:
        migrations: Those of this release.
        flavour: The database's.
        done: Checksum by name of what ran.

    Raises:
        MigrationFailed: A file was edited after it ran, or the database is ahead of us.
    """
    chosen = {migration.name: migration for migration in migrations if migration.fits(flavour)}
    for name, checksum in sorted(done.items()):
        if name not in chosen:
            raise MigrationFailed(f"the database ran {name}, which this release does not have")
        if chosen[name].checksum != checksum:
            raise MigrationFailed(
                f"{name} was edited after it ran: its checksum was {checksum[:12]},"
                f" is {chosen[name].checksum[:12]}; undo the edit and add a new migration"
            )
    return [migration for name, migration in chosen.items() if name not in done]


def migrate(
    url: str, migrations: Sequence[Migration] | None = None, wait_s: float = 60.0
) -> Migrated:
    """Run what is still to run; several at once are safe, one does the work.

    Raises:
        StoreUnavailable: No connection, or another run kept its lock for `wait_s`.
        MigrationFailed: See `plan`; or a statement failed, and then its file changed nothing.
    """
    connections = Connections(url, statement_timeout_s=0)
    available = shipped() if migrations is None else migrations
    # The lock has a connection of its own, which idles: nothing waits for a snapshot of it.
    with connections.connect() as guard, _alone(guard, wait_s):
        flavour, done = _recorded(guard)
        pending = plan(available, flavour, done)
        with connections.connect() as connection:
            if flavour is Flavour.TIMESCALEDB:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            for migration in pending:
                _run(connection, migration, flavour)
            found = connection.execute(FIND_EXTENSION).fetchone()
    return Migrated(flavour, found[0] if found else None, tuple(m.name for m in pending))


def _run(connection: Connection, migration: Migration, flavour: Flavour) -> None:
    in_one = not migration.text.startswith(NO_TRANSACTION)
    try:
        with connection.transaction() if in_one else nullcontext():
            for statement in migration.statements():
                connection.execute(statement.encode())
            connection.execute(
                "INSERT INTO schema_migrations (name, checksum, flavour) VALUES (%s, %s, %s)",
                (migration.name, migration.checksum, flavour.value),
            )
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"{migration.name}: {error}") from error
    except psycopg.Error as error:
        raise MigrationFailed(f"{migration.name}: {error}") from error


@contextmanager
def _alone(connection: Connection, wait_s: float) -> Iterator[None]:
    """Hold the database's migration lock; the server frees it when we are killed.

    Asked for again and again and not waited for: a statement that waits holds a snapshot, and
    CREATE INDEX CONCURRENTLY in the other run would wait for that one in turn.
    """
    deadline = time.monotonic() + wait_s
    while not _scalar(connection, "SELECT pg_try_advisory_lock(%s)", _LOCK):
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"Postgres: another migration has run for {wait_s:g} s")
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _recorded(connection: Connection) -> tuple[Flavour, dict[str, str]]:
    """Return the database's flavour and what ran.

    At the first migration the flavour is the one that the server can carry.
    """
    connection.execute(RECORD)
    query = "SELECT name, checksum, flavour FROM schema_migrations"
    rows = connection.execute(query).fetchall()
    if rows:
        return Flavour(rows[0][2]), {name: checksum for name, checksum, _ in rows}
    is_loaded = _scalar(connection, IS_LOADED)
    return (Flavour.TIMESCALEDB if is_loaded else Flavour.PLAIN), {}


def _scalar(connection: Connection, query: str, *arguments: Any) -> Any:
    found = connection.execute(query, arguments or None).fetchone()
    return found[0] if found else None
