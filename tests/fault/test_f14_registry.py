"""F14: the schema registry is down; known schemas flow on, an unknown one waits, then is parked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import topics
from connectors.registry import TIMEOUT_S, WAIT_S, ConfluentRegistry, subject_of
from schemas.registry import current
from schemas.wire import frame
from tests.conftest import ROOT
from tests.fault.conftest import MakeTrial
from tests.fault.stores import Watched
from tests.fault.trial import SYMBOLS
from tests.live.feed import START_US, Pair
from tests.live.test_registry import Apicurio
from tests.live.world import OUR_SETTINGS, World, wait_until
from tests.poison import TICK_ID, tick, trade

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RATE = 5_000
FLOWING = 3 * RATE
"""Lag of one that flows on: commits come once a second; one that waits has more than twice that."""
CAP_S = WAIT_S + TIMEOUT_S
PARKED = 40
PATIENCE_S = 30.0
"""With a registry that has just been started, on a busy machine."""
REASON = "registry_unavailable"

Harm = Callable[[Apicurio, Path], Any]


@contextmanager
def stopped(registry: Apicurio, log: Path) -> Iterator[None]:
    """Ended; it keeps nothing, so it is told everything again, in the same order."""
    registry.stop()
    yield
    registry.start(log)
    register(registry)


@contextmanager
def hanging(registry: Apicurio, _log: Path) -> Iterator[None]:
    """It takes connections and answers nothing."""
    process = registry._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


def register(registry: Apicurio) -> int:
    """Register our schemas and a later one of the tick; return that one's id."""
    with closing(ConfluentRegistry(registry.url, timeout_s=PATIENCE_S)) as client:
        client.register()
        assert client.id_of("tick") == TICK_ID
    schema = json.loads(json.dumps(current("tick")))
    schema["fields"].append({"name": "later", "type": ["null", "string"], "default": None})
    path = f"{registry.url}/subjects/{subject_of(topics.RAW)}/versions"
    answer = httpx.post(path, json={"schema": json.dumps(schema)}, timeout=PATIENCE_S)
    assert answer.is_success, answer.text
    return int(answer.json()["id"])


def of_a_later_schema(schema_id: int, number: int) -> Pair:
    """Return a trade whose writer knows a field more, and it is null."""
    symbol = SYMBOLS[number % len(SYMBOLS)]
    fields = trade(symbol, "LATER", START_US + number * 1_000_000, f"later-{number}")
    return symbol.encode(), frame(schema_id, tick(fields)[5:] + b"\x00")


@pytest.mark.parametrize("harm", [stopped, hanging], ids=["stopped", "hanging"])
def test_known_schemas_flow_on_and_an_unknown_one_is_parked_and_driven_again(
    make_trial: MakeTrial, registry: Apicurio, harm: Harm, tmp_path: Path
) -> None:
    trial = make_trial(SCHEMA_REGISTRY_URL=registry.url)
    world, later_id = trial.world, register(registry)
    compute = Watched(world, "compute")
    compute.worker.wait_ready()
    world.started("hot", "warm")
    later = [of_a_later_schema(later_id, number) for number in range(PARKED)]
    pairs = trial.ticks(20 * RATE)
    with trial.flow(pairs, RATE) as flow:
        flow.wait(RATE)
        with harm(registry, tmp_path / "again.log"):
            flow.wait(2 * RATE)
            began = time.monotonic()
            # One after the other, so that each comes in a block of its own.
            trial.poison.update(later)
            with trial.flow(later, PARKED / 2.0):
                pass
            wait_until(
                lambda: compute.metric("tapeline_breaker_state", server="registry") > 0,
                CAP_S + 10, "the registry is left alone", every_s=0.2,
            )  # fmt: skip
            behind_s = wait_until(
                lambda: world.outside.lag("tapeline-compute", "ticks.raw.v1") < FLOWING,
                CAP_S + 10, "the neighbours of what waits flow on", every_s=0.2,
            )  # fmt: skip
            held_s = time.monotonic() - began - 2.0
            settled_s = world.settle(within_s=60)
    trial.line.note(behind_s=round(behind_s, 1), held_s=round(held_s, 1), settled_s=settled_s)
    trial.judge()

    letters = [each for _, each in world.outside.decoded("ticks.dlq.v1")]
    parked = [each for each in letters if each["reason"] == REASON]
    assert sorted(each["value"] for each in parked) == sorted(value for _, value in later)
    assert held_s < CAP_S + 3, f"neighbours were held up for {held_s:.1f} s"
    assert compute.is_the_same()
    assert (compute.worker.home / "state" / "schemas.json").exists(), "a restart needs what it knew"
    driven_again(world, registry.url)


def driven_again(world: World, registry_url: str) -> None:
    """What was parked is accepted once the registry is back, each record once."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(OUR_SETTINGS)}
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": world.stack.kafka,
        "TAPELINE_TOPIC_PREFIX": world.prefix,
        "SCHEMA_REGISTRY_URL": registry_url,
    }

    def accepted() -> list[str]:
        ticks = world.outside.decoded("ticks.v1")
        return sorted(tick["trade_id"] for _, tick in ticks if tick["venue"] == "LATER")

    def redrive() -> bool:
        """Until the breaker lets the first one ask, what is sent comes back."""
        subprocess.run(
            [sys.executable, "-m", "app.cli", "dlq", "redrive", "--reason", REASON, "--json"],
            cwd=ROOT, env={**env, **settings}, check=True, capture_output=True,
        )  # fmt: skip
        world.settle("compute")
        return len(accepted()) == PARKED

    wait_until(redrive, 60, "what was parked is accepted", every_s=2)
    assert accepted() == sorted(f"later-{number}" for number in range(PARKED))
