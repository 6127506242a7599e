"""F8: the way between compute and the broker is slow, narrow, or breaks again and again."""

import time
from collections.abc import Callable

import pytest

from tests.fault.conftest import MakeProxied
from tests.fault.toxiproxy import Proxy

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RATE = 1_500
SECONDS = 15.0
RESET_EVERY_S = 1.5


def test_late_answers_cost_time_only(make_proxied: MakeProxied) -> None:
    suffered(make_proxied, lambda proxy: proxy.add("latency", latency=200, jitter=50))


def test_a_narrow_way_costs_time_only(make_proxied: MakeProxied) -> None:
    suffered(make_proxied, lambda proxy: proxy.add("bandwidth", rate=50))


def test_connections_that_are_reset_cost_time_only(make_proxied: MakeProxied) -> None:
    suffered(make_proxied, None)


def suffered(make_proxied: MakeProxied, harm: Callable[[Proxy], None] | None) -> None:
    """Let ticks flow through it for some seconds; then judge."""
    trial, proxy = make_proxied()
    with trial.flow(rate=RATE) as flow:
        flow.wait_s(2)
        until = time.monotonic() + SECONDS
        if harm is not None:
            harm(proxy)
            time.sleep(SECONDS)
        while harm is None and time.monotonic() < until:
            proxy.add("reset_peer", timeout=trial.dice.randrange(200))
            time.sleep(RESET_EVERY_S / 3)
            proxy.heal()
            time.sleep(RESET_EVERY_S * 2 / 3)
        proxy.heal()
        flow.wait_s(1)
    trial.line.note(ticks=flow.sent)
    trial.judge(replay=True)
