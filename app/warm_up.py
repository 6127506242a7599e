"""Compile every loop over blocks before the flow begins.

What is compiled is kept on disk, so this takes its ten to twenty seconds once; a worker that met
the first block uncompiled would hold the interpreter for longer than its lease.
"""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from app.domain.activity import ActivityBars, spec
from app.domain.amendments import find
from app.domain.ids import UNKNOWN, runs
from app.domain.partials import fold
from app.domain.shelf import NEVER
from app.domain.trades import Trades, of_columns
from app.engine.gather import gather
from schemas.block import columns, decode
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in
from schemas.stamp import stamped

MINUTE_US = 60_000_000


def warm_up() -> None:
    """Run each loop once over two ticks, or none."""
    gather(np.empty(0, np.int64))
    values = pack([_tick("1"), _tick("2")])
    decode(values, "tick", built_in())
    stamped(values, [0, 0], [0, 1])
    ticks = _trades(["1", "2"])
    fold(ticks, [NEVER], [0], MINUTE_US)
    runs(ticks, [UNKNOWN])
    find([ticks], ticks.names[0], "2")
    ActivityBars(lambda _: (spec("T2"),), 0).fold(ticks)


def _trades(ids: list[str]) -> Trades:
    values = pack(map(_tick, ids))
    found = columns(values, "tick", built_in())
    if found is None:
        raise AssertionError("ticks of our own making must be plain")
    return of_columns(found, np.arange(len(ids)), np.zeros(len(ids), np.int64))


def _tick(trade_id: str) -> bytes:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    return RecordCodec("tick", built_in()).encode(
        {
            "venue": "V", "symbol": "S", "event_time": at, "ingest_time": at, "action": "NEW",
            "conditions": [], "source": "", "trade_id": trade_id,
            "price": Decimal(1), "size": Decimal(1), "sequence": 1,
        }
    )  # fmt: skip


if __name__ == "__main__":
    warm_up()
