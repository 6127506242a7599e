"""The producer, as far as it needs no broker: what it refuses, it refuses before sending."""

import polars as pl
import pytest

from app.errors import DeliveryFailed, InvalidTick
from connectors.producer import COLUMNS, TickProducer
from schemas.record import RecordCodec
from schemas.registry import built_in

NOWHERE = "127.0.0.1:1"
NOW_US = 1_700_000_001_000_000
TRADE = {
    "symbol": "XBT/USD", "event_time": 1_700_000_000_123_456, "price": "37000.1", "size": "0.5",
}  # fmt: skip


@pytest.fixture
def producer() -> TickProducer:
    return TickProducer(NOWHERE, venue="KRAKEN", timeout_s=1, clock_us=lambda: NOW_US)


def test_a_bad_tick_is_an_error_before_anything_is_sent(producer: TickProducer) -> None:
    with pytest.raises(InvalidTick, match="price must be above 0, was '0'"):
        producer.send({**TRADE, "price": "0"})

    producer.flush()  # nothing is waiting for a broker that is not there


def test_of_many_ticks_none_is_sent_if_one_is_bad(producer: TickProducer) -> None:
    with pytest.raises(InvalidTick, match="tick 1: symbol is missing"):
        producer.send_many([TRADE, {**TRADE, "symbol": None}])

    producer.flush()


def test_a_tick_that_no_broker_acknowledges_is_an_error(producer: TickProducer) -> None:
    producer.send(TRADE)

    with pytest.raises(DeliveryFailed, match="no broker acknowledged it within 1 s"):
        producer.flush()


def test_one_tick_and_many_are_written_alike(producer: TickProducer) -> None:
    """Two encoders, the record's and the frame's, must not differ in a byte."""
    rows = [
        TRADE,
        {**TRADE, "price": None, "size": None, "bid": "1", "ask": "2.000000000001"},
        {**TRADE, "trade_id": "x", "conditions": ["@", "T"], "sector": "tech", "sequence": -5},
        {**TRADE, "size": "0", "action": "CORRECT", "trade_id": "é", "source": "feed"},
    ]
    records = [producer.checked(row) for row in rows]
    codec = RecordCodec("tick", built_in())

    assert producer.encode(pl.DataFrame(records, schema=COLUMNS, orient="row")) == [
        codec.encode(record) for record in records
    ]
