"""``tapeline bench source``: the whole engine on each of two Kafka clients."""

from collections.abc import Callable
from functools import partial

from app import topics
from app.cli.terminal import note
from tests.bench.engine import BARE, about, measured, report
from tests.bench.ground import ground
from tests.bench.systems import Run, peer, tapeline
from tests.bench.ticks import expected_bars, publish

OURS, OTHER = "engine on confluent-kafka", "engine on aiokafka"


def source(ticks: int, symbols: int, rounds: int, *, as_json: bool) -> None:
    """Measure in interleaved rounds on one topic, then print."""
    with ground("source") as here:
        note(f"publishing {ticks:,} ticks of {symbols} symbols")
        sent = publish(here, ticks, symbols, topics.TICKS)
        bars = expected_bars(sent.ticks, here.settings.timeframes)
        systems: dict[str, Callable[[str], Run]] = {
            BARE: partial(peer, here, "bare_confluent", ticks),
            "bare aiokafka": partial(peer, here, "bare_aiokafka", ticks),
            OURS: partial(tapeline, here, bars),
            OTHER: partial(tapeline, here, bars, module="tests.bench.worker_on_aiokafka"),
        }
        runs = measured(systems, rounds)
        described = about(here, ticks, symbols, sent.bytes_per_tick)
    report(runs, OURS, described, as_json=as_json)
