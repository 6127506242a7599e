"""Feeds that put ticks in the wrong partition, or under a name of their own."""

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import START_US, market
from tests.live.verifier import verify
from tests.poison import tick, trade

pytestmark = pytest.mark.live

SEED = 9
CANONICAL = {"XBT/USD": "BTC/USD", "XDG/USD": "DOGE/USD", "XBTUSD": "BTC/USD"}
PLAIN = ("ETH/USD", "SOL/USD", "LTC/USD", "ADA/USD")
MISROUTED = 5_000
ALIASED = 2_000


def test_misrouted_and_aliased_ticks_end_in_the_right_bars_and_partition(
    make_world: MakeWorld,
) -> None:
    """The default partitioner of librdkafka, CRC32, puts three of four keys elsewhere."""
    world = make_world()
    world.started("all")
    aliased = market(SEED, ALIASED, venue="KRAKEN", symbols=list(CANONICAL), repeats=0)
    plain = market(SEED + 1, MISROUTED, venue="TEST", symbols=PLAIN)
    symbols = {*PLAIN, *CANONICAL.values()}
    with world.feed("murmur2_random") as right:
        right.send((s.encode(), tick(trade(s, "RIGHT", START_US, "1"))) for s in symbols)
    with world.feed("consistent_random") as wrong:
        wrong.send(plain)
        wrong.send(aliased)
    assert any(wrong.partitions[s.encode()] != right.partitions[s.encode()] for s in PLAIN)
    healed_s = world.settle()

    # Two names of one instrument came through two partitions: no order holds between them.
    verdict = verify(
        world.outside, canonical=lambda _, symbol: CANONICAL.get(symbol, symbol), has_late=True
    )
    verdict.require(test="misrouted", seed=SEED, healed_s=round(healed_s, 1))
    assert {key[0] for key in verdict.bars} == symbols
    for key, bar in verdict.bars.items():
        assert bar["source_partition"] == right.partitions[key[0].encode()], key
