"""F22: killed during a migration, anywhere; running it again completes it."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from connectors.migrations import Flavour, migrate, shipped
from tests.conftest import ROOT, Stack
from tests.fault.line import Line
from tests.live.world import OUR_SETTINGS, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

KILLS = 8
SLOW = """
CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_sleep(0.03); END';
CREATE EVENT TRIGGER slow ON ddl_command_start EXECUTE FUNCTION slow();
"""
"""So that a file takes long enough to be killed in."""
WHOLE = """
SELECT relname, relkind::text, pg_get_constraintdef(c.oid)
FROM pg_class r LEFT JOIN pg_constraint c ON c.conrelid = r.oid
WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2, 3
"""


@pytest.fixture
def databases(stack: Stack) -> Iterator[list[str]]:
    """Return the URLs of two empty databases."""
    names = [f"migrated_{uuid4().hex[:10]}" for _ in range(2)]
    with psycopg.connect(stack.postgres, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}".encode())
        yield [f"{stack.postgres.rpartition('/')[0]}/{name}" for name in names]
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Run:
    """One run of ``tapeline migrate``."""

    def __init__(self, url: str, folder: Path) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(OUR_SETTINGS)}
        self._said = folder / f"{uuid4().hex}.json"
        with self._said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "migrate", "--json"],
                cwd=ROOT, env={**env, "POSTGRES_URL": url}, stdout=file,
            )  # fmt: skip

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def applied(self) -> list[str]:
        """Wait until it has done its work, and return the files it ran."""
        assert self.process.wait(60) == 0
        return list(json.loads(self._said.read_text())["applied"])


def done(url: str) -> int:
    """Return how many migrations are recorded."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
        if not found or not found[0]:
            return 0
        counted = connection.execute("SELECT count(*) FROM schema_migrations").fetchone()
    return int(counted[0]) if counted else 0


def test_killed_again_and_again_it_ends_as_one_that_was_not(
    databases: list[str], tmp_path: Path, seed: int, line: Line
) -> None:
    """Each run is killed some time behind the moment at which one more file was done."""
    dice = random.Random(seed)
    harmed, quiet = databases
    killed_at = []
    with psycopg.connect(harmed) as connection:
        connection.execute(SLOW)
    for kill in range(KILLS):
        run = Run(harmed, tmp_path)
        deadline = time.monotonic() + 30
        while run.process.poll() is None and done(harmed) < kill and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.1))
        run.kill()
        killed_at.append(done(harmed))
    wait_until(lambda: not _others(harmed), 10, "the killed runs' sessions are over")
    last, whole = Run(harmed, tmp_path), Run(quiet, tmp_path)
    last.applied()
    whole.applied()

    expected = [m.name for m in shipped() if m.fits(Flavour.PLAIN)]
    line.note(kills=KILLS, files_done_when_killed=killed_at, files=len(expected))
    with psycopg.connect(harmed) as one, psycopg.connect(quiet) as other:
        assert one.execute(WHOLE).fetchall() == other.execute(WHOLE).fetchall()
        names = one.execute("SELECT name FROM schema_migrations ORDER BY 1").fetchall()
    if not any(name.endswith(".timescaledb.sql") for (name,) in names):
        assert [name for (name,) in names] == expected
    assert len({*killed_at} & set(range(1, len(expected)))) > 1, "no run was killed half-way"


def test_killed_while_it_waits_for_a_lock_it_holds_nobody_up(
    databases: list[str], tmp_path: Path, line: Line
) -> None:
    """0006 alters a table that somebody reads."""
    url = databases[0]
    migrate(url, [each for each in shipped() if each.name < "0006"])
    with psycopg.connect(url) as reader:
        reader.execute("LOCK TABLE bars IN ACCESS SHARE MODE")
        run = Run(url, tmp_path)
        wait_until(lambda: _others(url, waiting=True), 30, "it waits")
        run.kill()
    took_s = wait_until(lambda: not _others(url), 10, "its session is over")
    line.note(session_over_s=round(took_s, 2))

    left = [each.name for each in shipped() if each.fits(Flavour.PLAIN) and each.name >= "0006"]
    assert Run(url, tmp_path).applied() == left


def _others(url: str, *, waiting: bool = False) -> int:
    """Return how many other sessions there are, or how many of them wait for a lock."""
    query = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND pid <> pg_backend_pid() AND (NOT %s OR wait_event_type = 'Lock')
    """
    with psycopg.connect(url) as connection:
        found = connection.execute(query, (waiting,)).fetchone()
    return int(found[0]) if found else 0
