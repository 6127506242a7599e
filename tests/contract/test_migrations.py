"""What `migrate` promises on a real server."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic

import psycopg
import pytest

from app.errors import StoreUnavailable
from connectors.migrations import Flavour, Migration, MigrationFailed, migrate, shipped
from connectors.warm_rows import BAR_COLUMNS, TICK_COLUMNS
from schemas.json_form import fields
from tests.contract.records import bar

pytestmark = pytest.mark.live

FIRST = Migration("0001_first.sql", "CREATE TABLE first (n integer);\n")
SECOND = Migration("0002_second.sql", "CREATE TABLE second (n integer);\nLOCK TABLE gate;\n")
SEPARATE = Migration(
    "0003_index.sql",
    "-- no transaction\n"
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS first_n ON first (n);\n"
    "SELECT 'a;b';\n",
)


@pytest.fixture
def url(make_database: Callable[[], str]) -> str:
    return make_database()


def column(url: str, query: str) -> list[object]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


def test_each_migration_runs_once(url: str) -> None:
    first = migrate(url)
    again = migrate(url)

    plain = [m.name for m in shipped() if m.fits(Flavour.PLAIN)]
    assert (list(first.applied), again.applied) == (plain, ())
    assert (first.flavour, first.extension) == (Flavour.PLAIN, None)
    assert column(url, "SELECT name FROM schema_migrations ORDER BY name") == plain


def test_an_edited_migration_that_ran_is_an_error_that_names_it(url: str) -> None:
    migrate(url, [FIRST])
    edited = Migration(FIRST.name, FIRST.text + "-- one more thought\n")

    with pytest.raises(MigrationFailed, match=r"0001_first\.sql was edited"):
        migrate(url, [edited])


def test_a_database_ahead_of_the_release_is_an_error_that_names_the_migration(url: str) -> None:
    migrate(url, [FIRST, SEPARATE])

    with pytest.raises(MigrationFailed, match=r"0003_index\.sql"):
        migrate(url, [FIRST])


def test_a_broken_migration_changes_nothing_and_is_named(url: str) -> None:
    broken = Migration("0002_broken.sql", "CREATE TABLE half (n integer);\nSELEKT 1;\n")

    with pytest.raises(MigrationFailed, match=r"0002_broken\.sql: syntax error"):
        migrate(url, [FIRST, broken])
    assert column(url, TABLES) == ["first", "schema_migrations"]


def test_a_migration_and_its_record_are_one(url: str) -> None:
    """Or a run killed between the two would meet its own tables when it runs again."""
    text = """
    CREATE TABLE second ();
    ALTER TABLE schema_migrations ADD CHECK (name <> '0002_second.sql');
    """

    with pytest.raises(MigrationFailed):
        migrate(url, [FIRST, Migration("0002_second.sql", text)])
    assert column(url, TABLES) == ["first", "schema_migrations"]


def test_killed_inside_a_migration_it_completes_when_run_again(url: str) -> None:
    """0002 has made its table and waits for a lock when its connection ends."""
    waiting = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as gate:
        gate.execute("CREATE TABLE gate ()")
        gate.commit()
        gate.execute("LOCK TABLE gate")
        run = pool.submit(migrate, url, [FIRST, SECOND])
        deadline = monotonic() + 10
        while not column(url, waiting):
            assert monotonic() < deadline
        column(url, waiting.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))
        with pytest.raises(StoreUnavailable, match=r"0002_second\.sql"):
            run.result(10)

    assert column(url, TABLES) == ["first", "gate", "schema_migrations"]
    assert migrate(url, [FIRST, SECOND]).applied == ("0002_second.sql",)
    assert column(url, TABLES) == ["first", "gate", "schema_migrations", "second"]


def test_statements_that_refuse_a_transaction_run_outside_one(url: str) -> None:
    migrate(url, [FIRST, SEPARATE])

    assert column(
        url,
        "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
        "WHERE relname = 'first_n'",
    ) == [True]


def test_several_at_once_do_the_work_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: migrate(url), range(4)))

    assert sorted(len(run.applied) for run in runs) == [
        0,
        0,
        0,
        len(column(url, "TABLE schema_migrations")),
    ]


def test_a_run_that_waits_too_long_for_another_is_unavailable(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x7A9E1146,))
        with pytest.raises(StoreUnavailable, match="another migration"):
            migrate(url, [FIRST], wait_s=0.2)


def test_the_tables_have_the_fields_of_the_schemas(migrated_url: str) -> None:
    query = """
    SELECT column_name FROM information_schema.columns
    WHERE table_name = '{}' ORDER BY ordinal_position
    """
    bars, history, ticks = (
        column(migrated_url, query.format(name)) for name in ("bars", "bar_revisions", "ticks")
    )

    assert bars == list(fields("bar"))
    assert set(history) == {*fields("bar"), "recorded_at"}
    assert ticks == [*TICK_COLUMNS, "partition", "tick_offset"]


def test_a_day_without_trades_has_no_part_in_the_prices_of_its_week(migrated_url: str) -> None:
    """Monday is empty, and Tuesday has trades of which none counts for a price."""
    days = {"2025-11-17": None, "2025-11-18": None, "2025-11-19": 7, "2025-11-20": 3}
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        for day, price in days.items():
            opens = datetime.fromisoformat(f"{day}T00:00+00:00")
            row = bar(
                symbol="WEEK", timeframe="D1", open_time=opens, close_time=opens + timedelta(1),
                open=price, high=price, low=price, close=price,
            )  # fmt: skip
            if day == "2025-11-17":
                row |= dict.fromkeys(("open", "high", "low", "close"), 9) | {"trades": 0}
            marks = ", ".join(["%s"] * len(BAR_COLUMNS))
            insert = f"INSERT INTO bars ({', '.join(BAR_COLUMNS)}) VALUES ({marks})"  # noqa: S608
            connection.execute(insert.encode(), [row[name] for name in BAR_COLUMNS])
        query = "SELECT open, high, low, close FROM {} WHERE symbol = 'WEEK'"
        weeks, months = (
            connection.execute(query.format(view).encode()).fetchall()
            for view in ("bars_w1", "bars_mn1")
        )

    assert weeks == months == [(7, 7, 3, 3)]
