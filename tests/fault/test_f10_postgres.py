"""F10: Postgres away, killed in mid-transaction, out of connections, locked, while ticks flow."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from threading import Event, Thread

import psycopg
import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.reader import Reader
from tests.fault.stores import OwnPostgres, Watched, largest_lags, own_postgres
from tests.fault.trial import RATE, SYMBOLS, Trial
from tests.live.world import wait_until

BEFORE_S, AFTER_S = 2.0, 2.0
SHORT_S, LONG_S = 8.0, 60.0
SLOW_RATE = RATE // 4
"""Of long faults: what comes in 60 s is judged record by record."""
LAG_SHARE = 0.5
"""Allowed of what comes during the fault: one that waits for Postgres lags by all of it."""
OTHERS = (
    ("compute", "ticks.raw.v1"), ("compute", "ticks.v1"),
    ("hot", "ticks.v1"), ("hot", "bars.v1"),
)  # fmt: skip
TRIES_A_SECOND = 2.0
GROWTH_ALLOWED_MB = 150

Harm = Callable[[OwnPostgres], AbstractContextManager[None]]


@contextmanager
def away(server: OwnPostgres) -> Iterator[None]:
    """Killed with transactions open (``pg_ctl stop -m immediate``), and started again."""
    with (
        server.connect() as connection,
        suppress(psycopg.OperationalError),
        connection.transaction(),
    ):
        connection.execute("LOCK TABLE ticks")
        wait_until(server.waiting, 10, "a worker is inside a transaction")
        server.kill()
    yield
    server.start()


@contextmanager
def hanging(server: OwnPostgres) -> Iterator[None]:
    """Stopped by SIGSTOP: it takes connections, and answers nothing."""
    with server.paused():
        yield


@contextmanager
def ended(server: OwnPostgres) -> Iterator[None]:
    """Its backends are terminated again and again."""
    count, stop = [0], Event()

    def work() -> None:
        while not stop.wait(0.3):
            count[0] += server.end_backends()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert count[0] > 3, "hardly a backend was ended"


@contextmanager
def crowded(server: OwnPostgres) -> Iterator[None]:
    """Others take every connection, those reserved for superusers among them."""
    most = int(server.ask("SHOW max_connections"))
    with ExitStack() as stack:
        for _ in range(3):
            with suppress(psycopg.OperationalError):
                server.end_backends()
            with suppress(psycopg.OperationalError):
                for _ in range(most):
                    stack.enter_context(server.connect())
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            server.connect()
        yield


@contextmanager
def locked(server: OwnPostgres) -> Iterator[None]:
    """Another session holds the tables."""
    with server.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE ticks, bars")
        yield


@pytest.mark.live
@pytest.mark.timeout(240)
def test_nothing_waits_for_a_postgres_killed_in_mid_transaction(make_trial: MakeTrial) -> None:
    harmed(make_trial(), away, SHORT_S, RATE, is_silent=True)


@pytest.mark.fault
@pytest.mark.timeout(600)
@pytest.mark.parametrize("harm", [away, hanging], ids=["away", "hanging"])
def test_a_postgres_that_does_not_answer_for_long_delays_nobody(
    make_trial: MakeTrial, harm: Harm
) -> None:
    harmed(make_trial(), harm, LONG_S, SLOW_RATE, is_silent=True)


@pytest.mark.fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "harm", [ended, crowded, locked], ids=["backends ended", "out of connections", "locked"]
)
def test_a_postgres_that_lets_nobody_work_is_waited_for(make_trial: MakeTrial, harm: Harm) -> None:
    harmed(make_trial(), harm, SHORT_S, RATE, is_silent=False)


def harmed(trial: Trial, harm: Harm, seconds: float, rate: int, *, is_silent: bool) -> None:
    """Harm Postgres for so long in mid-stream; nobody else may notice, and nothing be twice."""
    world = trial.world
    with own_postgres(world) as server:
        compute, hot, warm = (Watched(world, role) for role in ("compute", "hot", "warm"))
        for each in (compute, hot, warm):
            each.worker.wait_ready()
        pairs = trial.ticks(int(rate * (BEFORE_S + seconds + AFTER_S)))
        reader = Reader(world, SYMBOLS[:2])
        with reader, trial.flow(pairs, rate) as flow:
            flow.wait(int(rate * BEFORE_S))
            before_mb, tries = warm.resident_mb(), warm.metric("tapeline_store_retries_total")
            with harm(server):
                lags = largest_lags(world, seconds, *OTHERS)
                grown_mb = warm.resident_mb() - before_mb
                tries = warm.metric("tapeline_store_retries_total") - tries
                is_open = warm.metric("tapeline_breaker_state", server="postgres") > 0
        trial.line.note(
            away_s=seconds, largest_lags=lags, warm_grew_mb=round(grown_mb), postgres_tries=tries
        )
        trial.judge()
        reader.judge(trial.line)

        assert all(lag <= LAG_SHARE * rate * seconds for lag in lags.values()), lags
        assert all(each.is_the_same() for each in (compute, hot, warm)), "a worker has ended"
        assert grown_mb < GROWTH_ALLOWED_MB
        if is_silent:
            assert is_open, "the breaker must be open while Postgres does not answer"
            assert tries <= 20 + TRIES_A_SECOND * seconds, f"{tries} tries in {seconds} s"
