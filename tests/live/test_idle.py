"""A worker stays in its group however long it has run, and however long nothing comes."""

import time

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import market
from tests.live.world import READS

pytestmark = pytest.mark.live

MAX_POLL_S = 3
"""Ten minutes by default: whoever is not seen to fetch for so long leaves the group."""
IMPATIENT = f"""
import app.compose
app.compose.MAX_POLL_S = {MAX_POLL_S}.0
import app.worker
app.worker.main()
"""


def test_a_worker_takes_what_comes_after_longer_than_a_poll_may_take(make_world: MakeWorld) -> None:
    world = make_world()
    workers = [world.start(role, program=IMPATIENT) for role in READS]
    for worker in workers:
        worker.wait_ready()
    time.sleep(3 * MAX_POLL_S)  # as long as it takes to be left out, and no shorter sign of it

    with world.feed() as feed:
        feed.send(market(1, 500, venue="IDLE", symbols=["BTC/USD"]))

    world.settle()
    assert sum(world.outside.ends("ticks.v1").values()) == 500
