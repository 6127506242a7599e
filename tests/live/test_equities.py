"""Every US trade of a day: no ids, thousands in one millisecond, order given by the row alone."""

from pathlib import Path

import pytest

from connectors.recordings import us_equity
from tests.live.conftest import MakeWorld
from tests.live.verifier import verify

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("names", "trades"),
    [
        pytest.param(("AIG", "IBM", "BAC"), 202_595, id="AIG+IBM+BAC"),
        pytest.param(("SPY",), 451_545, id="SPY", marks=pytest.mark.slow),
    ],
)
def test_no_trade_of_a_day_is_dropped_or_refused(
    make_world: MakeWorld, recordings: Path, names: tuple[str, ...], trades: int
) -> None:
    """Two equal trades in one millisecond are two trades: 'duplicate' would be a guess."""
    world = make_world()
    world.started("all")
    published = sum(world.publish(us_equity(name)(recordings)) for name in names)
    healed_s = world.settle(within_s=60)

    verdict = verify(world.outside)
    verdict.require(test="+".join(names), healed_s=round(healed_s, 1))
    assert published == trades
    assert verdict.numbers["I1"]["accepted"] == trades
    assert verdict.numbers["I1"]["repeats"] == verdict.numbers["I6"]["dead_letters"] == 0
    assert sum(bar["trades"] for key, bar in verdict.bars.items() if key[2] == "M1") == trades
