"""F9: Redis away and back empty, wiped, out of memory, and slow, while ticks flow."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.reader import Reader
from tests.fault.stores import OwnRedis, Watched, largest_lags, own_redis
from tests.fault.trial import RATE, SYMBOLS, Trial

BEFORE_S, AFTER_S = 2.0, 2.0
SHORT_S, LONG_S = 8.0, 30.0
HOT_TICKS = 200
SLOW_RATE = RATE // 4
"""Of long faults: what comes in 30 s is judged record by record."""
LAG_SHARE = 0.5
"""Allowed of what comes during the fault: one that waits for Redis lags by all of it."""
OTHERS = (
    ("compute", "ticks.raw.v1"), ("compute", "ticks.v1"),
    ("warm", "ticks.v1"), ("warm", "bars.v1"),
)  # fmt: skip
TRIES_A_SECOND = 2.0
"""What the breaker lets through, at most, once it is open."""
GROWTH_ALLOWED_MB = 100

Harm = Callable[[OwnRedis], AbstractContextManager[None]]


@contextmanager
def away(server: OwnRedis) -> Iterator[None]:
    """Killed; it keeps nothing on disk."""
    server.kill()
    yield
    server.start()


@contextmanager
def wiped(server: OwnRedis) -> Iterator[None]:
    """Everything is gone, and it never stopped answering."""
    server.ask("FLUSHALL")
    yield
    server.ask("FLUSHALL")


@contextmanager
def out_of_memory(server: OwnRedis) -> Iterator[None]:
    """It refuses what would need more than 5 MB."""
    server.ask("SET", "ballast", "x" * 3_000_000)
    server.ask("CONFIG", "SET", "maxmemory", "5mb")
    yield
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert server.refused("OOM"), "nothing was refused: the test is too small"


@contextmanager
def evicting(server: OwnRedis) -> Iterator[None]:
    """It makes room without a word."""
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.ask("CONFIG", "SET", "maxmemory", "5mb")
    yield
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert server.stat("evicted_keys"), "nothing was evicted: the test is too small"


@contextmanager
def hanging(server: OwnRedis) -> Iterator[None]:
    """It takes connections and commands, and answers nothing."""
    with server.paused():
        yield


@pytest.mark.live
@pytest.mark.timeout(240)
def test_nothing_waits_for_a_redis_that_is_away_and_comes_back_empty(make_trial: MakeTrial) -> None:
    harmed(make_trial(HOT_TICKS=str(HOT_TICKS)), away, SHORT_S, RATE, is_silent=True)


@pytest.mark.fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize("harm", [away, hanging], ids=["away", "hanging"])
def test_a_redis_that_does_not_answer_for_long_delays_nobody(
    make_trial: MakeTrial, harm: Harm
) -> None:
    harmed(make_trial(HOT_TICKS=str(HOT_TICKS)), harm, LONG_S, SLOW_RATE, is_silent=True)


@pytest.mark.fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "harm", [wiped, out_of_memory, evicting], ids=["wiped", "out of memory", "evicting"]
)
def test_a_redis_that_loses_or_refuses_what_it_is_given_is_whole_in_the_end(
    make_trial: MakeTrial, harm: Harm
) -> None:
    harmed(make_trial(HOT_TICKS=str(HOT_TICKS)), harm, SHORT_S, RATE, is_silent=False)


@pytest.mark.fault
@pytest.mark.timeout(300)
def test_a_redis_that_is_paused_by_command_is_waited_for(make_trial: MakeTrial) -> None:
    """CLIENT PAUSE: connections live on, and answers come before the breaker would open."""

    @contextmanager
    def slow(server: OwnRedis) -> Iterator[None]:
        server.ask("CLIENT", "PAUSE", int(SHORT_S * 1000), "ALL")
        yield

    harmed(make_trial(HOT_TICKS=str(HOT_TICKS)), slow, SHORT_S, RATE, is_silent=False)


def harmed(trial: Trial, harm: Harm, seconds: float, rate: int, *, is_silent: bool) -> None:
    """Harm Redis for so long in mid-stream; nobody else may notice, and it must be rebuilt."""
    world = trial.world
    with own_redis(world) as server:
        compute, warm, hot = (Watched(world, role) for role in ("compute", "warm", "hot"))
        for each in (compute, warm, hot):
            each.worker.wait_ready()
        pairs = trial.ticks(int(rate * (BEFORE_S + seconds + AFTER_S)))
        reader = Reader(world, SYMBOLS[:2])
        with reader, trial.flow(pairs, rate) as flow:
            flow.wait(int(rate * BEFORE_S))
            before_mb, tries = hot.resident_mb(), hot.metric("tapeline_store_retries_total")
            with harm(server):
                lags = largest_lags(world, seconds, *OTHERS)
                grown_mb = hot.resident_mb() - before_mb
                tries = hot.metric("tapeline_store_retries_total") - tries
                is_open = hot.metric("tapeline_breaker_state", server="redis") > 0
        settled_s = world.settle()
        rebuilt_s = server.wait_rebuilt(world)
        refilled = hot.metric("tapeline_refilled_records_total", noun="tick")
        handled = hot.metric("tapeline_ticks_total", agent="hot-ticks")
        trial.line.note(
            away_s=seconds, largest_lags=lags, hot_grew_mb=round(grown_mb), redis_tries=tries,
            ticks_read_again=refilled, rebuilt_s=round(settled_s + rebuilt_s, 1),
        )  # fmt: skip
        trial.judge()
        reader.judge(trial.line)
        require_newest_ticks(trial, server)

        ticks = sum(world.outside.ends("ticks.v1").values())
        assert all(lag <= LAG_SHARE * rate * seconds for lag in lags.values()), lags
        assert all(each.is_the_same() for each in (compute, warm, hot)), "a worker has ended"
        assert handled == ticks, f"hot took {handled} ticks of {ticks}: it began anew"
        assert refilled < ticks / 2, f"{refilled} of {ticks} ticks were read again"
        assert grown_mb < GROWTH_ALLOWED_MB
        assert settled_s + rebuilt_s < 30
        if is_silent:
            assert is_open, "the breaker must be open while Redis does not answer"
            assert tries <= 20 + TRIES_A_SECOND * seconds, f"{tries} tries in {seconds} s"


def require_newest_ticks(trial: Trial, server: OwnRedis) -> None:
    """Redis must hold the newest ticks of each series, known by their raw offset, and no other."""
    series: dict[str, list[tuple[int, int]]] = {}
    for _, tick in trial.world.outside.decoded("ticks.v1"):
        name = f"{tick['symbol']}@{tick['venue']}"
        series.setdefault(name, []).append((tick["event_time"], tick["raw_offset"]))
    first = f"{trial.world.prefix}tl:ticks:"
    held = server.members(f"{first}*")
    found = {key.removeprefix(first): [int(m[:20]) for m in all_] for key, all_ in held.items()}
    wanted = {name: [raw for _, raw in sorted(all_)[-HOT_TICKS:]] for name, all_ in series.items()}
    wrong = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    trial.line.judged("I2", [f"ticks of {name} in Redis" for name in wrong])
    assert not wrong, f"the newest ticks of {wrong} are not in Redis"
