"""quixstreams, as its documentation advises: a tumbling window, a reducer, bars once they close.

Floats instead of decimals (its state is JSON). Open and close are the first and the last tick that
came; a bar goes out once, when its partition's time has passed it and the grace of 1 s, and a
later tick is dropped where Tapeline revises; no VWAP; bars are JSON. State in RocksDB with a
changelog; offsets are committed every second. Its Avro deserializer reads the ticks, behind the
five bytes of Confluent's framing.
"""

import json
import sys

from marks import Marks
from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer

job = json.loads(sys.argv[1])
marks = Marks(job)


class FramedAvro(AvroDeserializer):
    def __call__(self, value, ctx):
        return super().__call__(value[5:], ctx)


def first(tick):
    price = float(tick["price"])
    return {"open": price, "high": price, "low": price, "close": price,
            "volume": float(tick["size"]), "trades": 1}


def fold(bar, tick):
    price = float(tick["price"])
    if price > bar["high"]:
        bar["high"] = price
    if price < bar["low"]:
        bar["low"] = price
    bar["close"] = price
    bar["volume"] += float(tick["size"])
    bar["trades"] += 1
    return bar


app = Application(
    broker_address=job["broker"],
    consumer_group=job["group"],
    auto_offset_reset="earliest",
    commit_interval=1.0,
    consumer_extra_config=job["settings"],
    producer_extra_config={"linger.ms": 20, "compression.type": "lz4"},
    state_dir=f"{job['home']}/{job['group']}",
    on_message_processed=lambda topic, partition, offset: marks.add(),
    loglevel="ERROR",
)
ticks = app.topic(
    job["topic"], key_deserializer="str", value_deserializer=FramedAvro(job["schema"]),
    timestamp_extractor=lambda tick, *_: int(tick["event_time"].timestamp() * 1000),
)
bars = app.topic(job["bars"], key_serializer="str", value_serializer="json")
(
    app.dataframe(ticks)
    .tumbling_window(duration_ms=60_000, grace_ms=1_000)
    .reduce(reducer=fold, initializer=first)
    .final(closing_strategy="partition")
    .apply(
        lambda window, key, timestamp, headers: {
            "symbol": key, "open_time": window["start"] * 1000, **window["value"]
        },
        metadata=True,
    )
    .to_topic(bars)
)
app.run()
