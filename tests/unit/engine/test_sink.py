"""How stages reach a store that is away, hangs or refuses: real threads, no server."""

import asyncio
import time
from collections.abc import Callable

import pytest

from app.breaker import Breaker
from app.engine.sink import Sink
from app.errors import StoreRejected, StoreUnavailable
from app.metrics import Metrics


def sink(metrics: Metrics, give_up_after_s: float = 10.0) -> Sink:
    breaker = Breaker(first_pause_s=0.05, longest_pause_s=0.2)
    return Sink("redis", metrics, give_up_after_s, breaker)


def failing(times: int) -> tuple[Callable[[], str], list[float]]:
    """Return a call that fails so many times, and when it was made."""
    calls: list[float] = []

    def call() -> str:
        calls.append(time.monotonic())
        if len(calls) <= times:
            raise StoreUnavailable("away")
        return "done"

    return call, calls


async def test_a_call_is_made_again_until_the_store_answers() -> None:
    call, calls = failing(5)

    assert await sink(Metrics("hot")).persist(call) == "done"
    assert len(calls) == 6


async def test_a_refusal_is_passed_on_at_once() -> None:
    def call() -> None:
        raise StoreRejected("never")

    with pytest.raises(StoreRejected):
        await sink(Metrics("hot")).persist(call)


async def test_when_the_cap_is_passed_the_error_ends_the_stage() -> None:
    """The engine ends the process for it, with nothing acked."""
    call, calls = failing(1_000_000)
    began = time.monotonic()

    with pytest.raises(StoreUnavailable):
        await sink(Metrics("hot"), give_up_after_s=0.5).persist(call)
    assert 0.4 < time.monotonic() - began < 5
    assert len(calls) > 1


async def test_twelve_stages_try_a_store_that_is_away_no_more_often_than_one() -> None:
    """Twelve may go in before it opens, then one at a time, when its clock says that it may."""
    now_s = [100.0]
    breaker = Breaker(first_pause_s=0.05, longest_pause_s=0.2, clock_s=lambda: now_s[0])
    shared = Sink("redis", Metrics("hot"), 1.0, breaker)
    call, calls = failing(1_000_000)

    await asyncio.gather(*(shared.persist(call) for _ in range(12)), return_exceptions=True)
    before = len(calls)
    now_s[0] += 0.1
    await asyncio.gather(*(shared.persist(call) for _ in range(12)), return_exceptions=True)

    assert 3 <= before <= 12
    assert len(calls) == before + 1


async def test_a_store_that_hangs_takes_one_thread_and_not_all() -> None:
    """The pool of threads has six on two cores, and checkpoints need one to flush."""
    hanging, most = 0, 0

    def call() -> None:
        nonlocal hanging, most
        hanging += 1
        most = max(most, hanging)
        time.sleep(0.1)
        hanging -= 1
        raise StoreUnavailable("no answer")

    shared = sink(Metrics("hot"), give_up_after_s=1.0)
    with pytest.raises(StoreUnavailable):
        await asyncio.gather(*(shared.persist(call) for _ in range(1)))
    most = 0
    await asyncio.gather(*(shared.persist(call) for _ in range(12)), return_exceptions=True)

    assert most == 1


async def test_the_breakers_state_and_the_retries_are_metrics() -> None:
    metrics = Metrics("hot")
    call, _ = failing(4)
    seen = []

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"role": "hot", **labels})

    def watched() -> str:
        seen.append(value("tapeline_breaker_state", server="redis"))
        return call()

    await Sink("redis", metrics).persist(watched)

    assert seen == [0, 0, 0, 1, 1]
    assert value("tapeline_breaker_state", server="redis") == 0
    assert value("tapeline_store_retries_total", store="redis") == 4


async def test_one_try_says_that_the_store_is_left_alone() -> None:
    call, calls = failing(3)
    once = sink(Metrics("hot"))
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            await once.once(call)

    assert len(calls) == 3
