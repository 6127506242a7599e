"""What lets each row into the warm store once, whoever brings it and how often."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from app.domain.ports import Position
from connectors.postgres import Connection
from connectors.warm_rows import TICK_IDENTITY

FIND_TICKS = """
SELECT symbol, venue, event_time, raw_offset
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bigint[])
     AS wanted (symbol, venue, event_time, raw_offset)
JOIN ticks USING (symbol, venue, event_time, raw_offset)
WHERE ticks.event_time BETWEEN %s AND %s
"""


class Fence(NamedTuple):
    """How far one partition was applied.

    Attributes:
        next_offset: Rows below it are stored.
        next_raw_offset: Above the highest raw_offset that is stored. A tick below it may be one
            that normalization wrote again, so it is looked up.
    """

    next_offset: int
    next_raw_offset: int


class SinkFence:
    """The rows of sink_offsets that belong to one sink."""

    def __init__(self, sink: str) -> None:
        self._sink = sink

    def lock(self, connection: Connection, topic: str, partition: int) -> Fence:
        """Return the fence, and keep others from it until the transaction ends."""
        name = (self._sink, topic, partition)
        connection.execute(
            "INSERT INTO sink_offsets (sink, topic, partition) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            name,
        )
        found = connection.execute(
            "SELECT next_offset, next_raw_offset FROM sink_offsets"
            " WHERE sink = %s AND topic = %s AND partition = %s FOR UPDATE",
            name,
        ).fetchone()
        return Fence(*(found or (0, 0)))

    def advance(
        self, connection: Connection, held: Fence, moved: Position, next_raw_offset: int = 0
    ) -> Position:
        """Move the locked fence on, never back, and return where it stands."""
        to = Fence(max(held.next_offset, moved.offset), max(held.next_raw_offset, next_raw_offset))
        if to != held:
            connection.execute(
                "UPDATE sink_offsets SET next_offset = %s, next_raw_offset = %s"
                " WHERE sink = %s AND topic = %s AND partition = %s",
                (*to, self._sink, moved.topic, moved.partition),
            )
        return moved._replace(offset=to.next_offset)

    def positions(
        self, connection: Connection, topics: Sequence[str]
    ) -> dict[tuple[str, int], int]:
        """Return the next offset of each (topic, partition)."""
        rows = connection.execute(
            "SELECT topic, partition, next_offset FROM sink_offsets"
            " WHERE sink = %s AND topic = ANY(%s)",
            (self._sink, list(topics)),
        ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}


def without_repeats(
    connection: Connection, frame: pl.DataFrame, next_raw_offset: int
) -> pl.DataFrame:
    """Return `frame` without the ticks that are stored already under another offset.

    A raw offset below the highest stored one is only a hint, so nothing is dropped for it alone:
    those ticks are looked up by their identity. In the normal run there are none, and the look-up
    costs nothing.
    """
    raw = frame["raw_offset"]
    if raw.null_count() < raw.len() and not bool((raw.drop_nulls().diff() > 0).all()):
        has_raw = pl.col("raw_offset").is_not_null()
        first = pl.struct(TICK_IDENTITY).is_first_distinct()
        frame = frame.filter(~has_raw | first)
    suspects = frame.filter(pl.col("raw_offset") < next_raw_offset).select(TICK_IDENTITY)
    if suspects.is_empty():
        return frame
    lists = [suspects[name].to_list() for name in TICK_IDENTITY]
    times = suspects["event_time"]
    rows = connection.execute(FIND_TICKS, (*lists, times.min(), times.max())).fetchall()
    if not rows:
        return frame
    stored = pl.DataFrame(rows, schema=suspects.schema, orient="row")
    return frame.join(stored, on=TICK_IDENTITY, how="anti", maintain_order="left")
