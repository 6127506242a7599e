"""F19: 10,000 WebSocket clients, some slow, silent or half-open: memory stays bounded."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.clients import Crowd
from tests.fault.cluster import free_port
from tests.fault.conftest import MakeTrial
from tests.live.tape import Tape
from tests.live.world import Worker, wait_until

CLIENTS = {"normal": 9_000, "slow": 400, "silent": 300, "half-open": 300}
SYMBOLS, STREAMS, RATE = 1_000, 3, 1_000
FLOW_S = 60.0
GIVEN_UP_WITHIN_S = 90.0
"""A ping every 20 s, 20 s for its answer, and what the machine is late."""
GROWTH_ALLOWED_MB = 150
MB_A_CLIENT = 0.1
LEAST_SHARE = 0.5
"""Of the changes: what moves a price by too little is throttled."""


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_those_who_do_not_read_cost_little_and_delay_nobody(make_trial: MakeTrial) -> None:
    trial = make_trial()
    world = trial.world
    world.started("hot")
    api = world.start("api", API_PORT=str(free_port()), API_RATE_PER_MINUTE="0")
    api.wait_ready()
    url = api.url().replace("http", "ws") + "ws"
    empty_mb = resident_mb(api)
    with ExitStack() as stack:
        crowds = {}
        for kind, count in CLIENTS.items():
            crowds[kind] = Crowd(url, kind, count, SYMBOLS, STREAMS)
            stack.callback(crowds[kind].close)
        for crowd in crowds.values():
            crowd.connected()
        joined_mb = resident_mb(api)
        client = {"bootstrap.servers": world.stack.kafka}
        topic = f"{world.prefix}quotes.v1"
        stack.enter_context(Tape(client, topic, world.outside.partitions, SYMBOLS, RATE))
        time.sleep(5)
        crowds["normal"].begin()
        began_mb = peak_mb = resident_mb(api)
        until_s = time.monotonic() + FLOW_S
        while time.monotonic() < until_s:
            time.sleep(1)
            peak_mb = max(peak_mb, resident_mb(api))
        remain = CLIENTS["normal"] + CLIENTS["slow"]
        gone_s = wait_until(
            partial(has_at_most, api, remain), GIVEN_UP_WITHIN_S, "silent clients are given up", 1.0
        )
        left = clients(api)
        seen = crowds["normal"].end()
    trial.line.note(
        clients=CLIENTS, empty_mb=empty_mb, joined_mb=joined_mb, peak_mb=peak_mb,
        gone_s=round(FLOW_S + gone_s, 1), left=left, normal=seen,
    )  # fmt: skip
    least = round(LEAST_SHARE * STREAMS * CLIENTS["normal"] * RATE / SYMBOLS * FLOW_S)
    faults = [
        text
        for text, is_wrong in (
            (f"{left} clients are left, of {remain} who read", left != remain),
            (f"those who read lost messages: {seen}", bool(seen.get("lost"))),
            (f"those who read were sent away: {seen}", bool(seen.get("closed_by_server"))),
            (f"those who read got {seen['messages']}, of {least}", seen["messages"] < least),
        )
        if is_wrong
    ]
    trial.line.judged("I7", faults, asked=sum(CLIENTS.values()))

    assert not faults, faults
    assert joined_mb - empty_mb < MB_A_CLIENT * sum(CLIENTS.values())
    assert peak_mb - began_mb < GROWTH_ALLOWED_MB


def has_at_most(api: Worker, count: int) -> bool:
    """Return whether there are no more clients than that."""
    return clients(api) <= count


def clients(api: Worker) -> int:
    """Return how many WebSocket clients the API says it has."""
    text = httpx.get(f"{api.url()}metrics", timeout=30).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "tapeline_api_clients" and sample.labels["protocol"] == "websocket":
                return int(sample.value)
    return 0


def resident_mb(api: Worker) -> float:
    """Return the resident memory of the API's process."""
    pages = int(Path(f"/proc/{api.process.pid}/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)
