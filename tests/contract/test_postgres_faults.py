"""What the warm store on Postgres promises beyond its port: two workers at once, and trouble."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from time import monotonic

import psycopg
import pytest

from app.errors import StoreRejected, StoreUnavailable
from connectors.postgres import Connections
from connectors.warm_postgres import PostgresWarmStore
from tests.contract.records import at, bar, ticks

pytestmark = pytest.mark.live
BARS, TICKS = "bars.v1", "ticks.v1"
PAIR = ("BTC-USD", "KRAKEN")
EVER = (None, None, 1000)

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def admin(postgres_url: str) -> Iterator[Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def one(connection: Connection, query: str) -> object:
    found = connection.execute(query.encode()).fetchone()
    return found[0] if found else None


def until(condition: Callable[[], object], future: Future[object] | None = None) -> None:
    """Wait for `condition`; fail when `future` ends before it."""
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline
        assert future is None or not future.done(), "it should have waited"


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_a_zombie_waits_for_the_other_worker_and_then_changes_nothing(
    postgres_url: str, admin: Connection, pool: ThreadPoolExecutor
) -> None:
    """Both read the same block; the one that comes second must see what the first one did."""
    frame = ticks({}, {})
    with closing(PostgresWarmStore(postgres_url)) as store:
        # Makes the day, so that nothing else is there to wait for.
        store.apply_ticks("prepare", 0, 0, 1, frame)
        store.apply_ticks(TICKS, 0, 0, 0, frame[:0])
        admin.execute("TRUNCATE ticks")
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT FROM sink_offsets WHERE topic = 'ticks.v1' FOR UPDATE")
            zombie = pool.submit(
                store.apply_ticks, TICKS, 0, 1, 2, ticks({"offset": 1}, {"offset": 2})
            )
            until(lambda: one(admin, WAITING), zombie)
            other.execute("UPDATE sink_offsets SET next_offset = 3 WHERE topic = 'ticks.v1'")
        applied = zombie.result(10)

        assert (applied.written, applied.skipped, applied.position.offset) == (0, 2, 3)
        assert one(admin, "SELECT count(*) FROM ticks") == 0


def test_a_zombie_with_bars_waits_too(
    postgres_url: str, admin: Connection, pool: ThreadPoolExecutor
) -> None:
    with closing(PostgresWarmStore(postgres_url)) as store:
        store.apply_bars(BARS, 0, 0, 0, [])
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT FROM sink_offsets WHERE topic = 'bars.v1' FOR UPDATE")
            zombie = pool.submit(store.apply_bars, BARS, 0, 1, 1, [bar(revision=1, offset=1)])
            until(lambda: one(admin, WAITING), zombie)
            other.execute("UPDATE sink_offsets SET next_offset = 2 WHERE topic = 'bars.v1'")

        assert zombie.result(10).written == 0
        assert one(admin, "SELECT count(*) FROM bar_revisions") == 0


def test_four_workers_with_the_same_blocks_store_each_tick_once(
    postgres_url: str, admin: Connection, pool: ThreadPoolExecutor
) -> None:
    blocks = [ticks(*({"offset": n} for n in range(at, at + 50))) for at in range(0, 500, 50)]

    def work(_: int) -> int:
        with closing(PostgresWarmStore(postgres_url)) as store:
            first = [block["offset"][0] for block in blocks]
            return sum(
                store.apply_ticks(TICKS, 0, start, start + 49, block).written
                for start, block in zip(first, blocks, strict=True)
            )

    assert sum(pool.map(work, range(4))) == 500
    assert one(admin, "SELECT count(DISTINCT tick_offset) FROM ticks") == 500
    assert one(admin, "SELECT count(*) FROM ticks") == 500


def test_a_rejected_tick_is_named_and_nothing_of_its_block_is_stored(
    postgres: PostgresWarmStore,
) -> None:
    """Behind a value with newlines, lines are not rows."""
    frame = ticks(
        {"trade_id": "two\nlines", "conditions": ["\n", "\n\n"]}, {"trade_id": "nul \0"}, {}
    )

    with pytest.raises(StoreRejected, match=r"tick BTC-USD@KRAKEN 2025-11-20T10:00.* offset 1: "):
        postgres.apply_ticks(TICKS, 0, 0, 2, frame)
    assert postgres.ticks(*PAIR, *EVER) == []
    assert postgres.positions([TICKS]) == {}


def test_text_that_would_end_a_copy_does_not_cut_the_block(postgres: PostgresWarmStore) -> None:
    postgres.apply_ticks(TICKS, 0, 0, 2, ticks({}, {"trade_id": "a\n\\.\nb"}, {}))

    assert [t["offset"] for t in postgres.ticks(*PAIR, *EVER)] == [0, 1, 2]


def test_a_rejected_bar_is_named_and_nothing_of_its_block_is_stored(
    postgres: PostgresWarmStore,
) -> None:
    rows = [bar(revision=1), bar(open_time=at("10:01"), low=Decimal(999), offset=1)]

    with pytest.raises(StoreRejected, match=r"bar BTC-USD@KRAKEN\|M1\|2025-11-20T10:01:00"):
        postgres.apply_bars(BARS, 0, 0, 1, rows)
    assert postgres.bars(*PAIR, "M1", *EVER) == []
    assert postgres.positions([BARS]) == {}


def test_a_bar_that_the_driver_refuses_is_named(postgres: PostgresWarmStore) -> None:
    rows = [bar(), bar(open_time=at("10:01"), reason="nul \0", offset=1)]

    with pytest.raises(StoreRejected, match=r"2025-11-20T10:01:00"):
        postgres.apply_bars(BARS, 0, 0, 1, rows)


def test_a_connection_ended_inside_a_transaction_stores_nothing_and_the_retry_all(
    postgres: PostgresWarmStore, postgres_url: str, admin: Connection, pool: ThreadPoolExecutor
) -> None:
    frame = ticks({}, {})
    postgres.apply_ticks(TICKS, 0, 0, 1, frame)
    later = ticks({"offset": 2})
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE ticks")
        stuck = pool.submit(postgres.apply_ticks, TICKS, 0, 2, 2, later)
        until(lambda: one(admin, WAITING), stuck)
        query = f"SELECT pg_terminate_backend(pid) {WAITING.replace('SELECT count(*)', '')}"
        assert one(admin, query)
        with pytest.raises(StoreUnavailable):
            stuck.result(10)

    assert postgres.positions([TICKS]) == {(TICKS, 0): 2}
    assert postgres.apply_ticks(TICKS, 0, 2, 2, later).written == 1
    assert len(postgres.ticks(*PAIR, *EVER)) == 3


def test_a_locked_table_is_unavailable_in_time(postgres_url: str) -> None:
    with closing(PostgresWarmStore(postgres_url, lock_timeout_s=0.1)) as store:
        store.apply_bars(BARS, 0, 0, 0, [bar()])
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE bars")
            with pytest.raises(StoreUnavailable, match="55P03"):
                store.apply_bars(BARS, 0, 1, 1, [bar(revision=1, offset=1)])

        assert store.apply_bars(BARS, 0, 1, 1, [bar(revision=1, offset=1)]).written == 1


def test_a_slow_statement_is_unavailable(postgres_url: str) -> None:
    with closing(PostgresWarmStore(postgres_url, statement_timeout_s=0.2)) as store:
        store.ping()
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE bars")
            with pytest.raises(StoreUnavailable, match="57014"):
                store.bars(*PAIR, "M1", *EVER)


def test_a_server_that_falls_silent_is_unavailable_in_time(postgres_url: str) -> None:
    """A hung server ends no statement, and its kernel goes on acknowledging."""

    def sleep(seconds: int) -> tuple[object, ...] | None:
        with connections.transaction() as connection:
            connection.execute("SET LOCAL statement_timeout = 0")
            return connection.execute("SELECT pg_sleep(%s)", (seconds,)).fetchone()

    with closing(Connections(postgres_url, statement_timeout_s=0.2, silence_s=0.2)) as connections:
        began_s = monotonic()
        with pytest.raises(StoreUnavailable):
            sleep(20)

        assert monotonic() - began_s < 5
        assert sleep(0) == ("",)


def test_after_all_connections_were_ended_it_connects_again(
    postgres: PostgresWarmStore, admin: Connection
) -> None:
    postgres.ping()
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with pytest.raises(StoreUnavailable):
        postgres.ping()
    assert postgres.ping().startswith("PostgreSQL ")


def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_shown() -> None:
    with (
        closing(PostgresWarmStore("postgresql://me:s3cret@127.0.0.1:1/nowhere")) as store,
        pytest.raises(StoreUnavailable) as caught,
    ):
        store.ping()
    assert "127.0.0.1:1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_database_that_was_not_migrated_says_what_to_do(make_database: Callable[[], str]) -> None:
    with (
        closing(PostgresWarmStore(make_database())) as store,
        pytest.raises(StoreUnavailable, match="tapeline migrate"),
    ):
        store.apply_ticks(TICKS, 0, 0, 0, ticks({}))


def test_partitions_are_made_ahead_and_dropped_when_old(
    postgres: PostgresWarmStore, admin: Connection
) -> None:
    """Age counts from the partition's making, so that a backfill stays as long as live ticks."""
    today = one(admin, "SELECT (now() AT TIME ZONE 'UTC')::date")
    assert isinstance(today, date)
    old, older = today - timedelta(days=100), date(2013, 10, 8)
    admin.execute("SELECT add_tick_days(%s)", ([old, older],))
    postgres.maintain(ahead_days=3)
    admin.execute(
        "UPDATE tick_days SET created_at = now() - interval '91 days' WHERE day = %s", (old,)
    )

    maintained = postgres.maintain(ahead_days=4, keep_days=90)

    assert (maintained.made, maintained.dropped) == (1, (old,))
    days = [day for (day,) in admin.execute("SELECT day FROM tick_days").fetchall()]
    assert older in days
    assert set(days) >= {today + timedelta(days=n) for n in range(5)}


def test_four_workers_that_need_the_same_new_days_at_once_get_them(
    postgres_url: str, admin: Connection, pool: ThreadPoolExecutor
) -> None:
    days = [f"2016-02-{day:02}" for day in range(1, 21)]
    frame = ticks(*({"event_time": at("10:00", day)} for day in days))

    def work(partition: int) -> int:
        with closing(PostgresWarmStore(postgres_url)) as store:
            return store.apply_ticks(TICKS, partition, 0, 19, frame).written

    assert list(pool.map(work, range(4))) == [20] * 4
    assert (
        one(admin, "SELECT count(*) FROM tick_days WHERE day BETWEEN '2016-02-01' AND '2016-02-20'")
        == 20
    )


def test_a_day_that_retention_dropped_is_made_again_when_its_ticks_come(
    postgres: PostgresWarmStore, admin: Connection
) -> None:
    frame = ticks({"event_time": at("10:00", "2014-01-01")})
    postgres.apply_ticks(TICKS, 0, 0, 0, frame)
    admin.execute("SELECT drop_tick_day('2014-01-01')")
    again = ticks({"event_time": at("10:00", "2014-01-01"), "offset": 1})

    with pytest.raises(StoreUnavailable, match="no partition"):
        postgres.apply_ticks(TICKS, 0, 1, 1, again)
    assert postgres.apply_ticks(TICKS, 0, 1, 1, again).written == 1


def test_weeks_and_months_are_made_of_daily_bars(
    postgres: PostgresWarmStore, admin: Connection
) -> None:
    days = ["2025-11-16", "2025-11-17", "2025-11-18"]  # Sunday, Monday, Tuesday
    rows = [
        bar(
            timeframe="D1",
            open_time=at("00:00", day),
            open=Decimal(100 + n),
            close=Decimal(200 + n),
            high=Decimal(300 + n),
            offset=n,
        )
        for n, day in enumerate(days)
    ]
    postgres.apply_bars(BARS, 0, 0, 2, rows)

    query = b"SELECT open_time, open, high, close, volume FROM bars_w1 ORDER BY 1"
    weeks = admin.execute(query).fetchall()
    months = admin.execute(query.replace(b"w1", b"mn1")).fetchall()

    volume = Decimal("12.5")
    assert weeks == [
        (at("00:00", "2025-11-10"), 100, 300, 200, volume),
        (at("00:00", "2025-11-17"), 101, 302, 202, 2 * volume),
    ]
    assert months == [(at("00:00", "2025-11-01"), 100, 302, 202, 3 * volume)]
