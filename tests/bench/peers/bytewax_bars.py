"""bytewax, as its documentation advises: a Kafka source, a fold over event-time windows, a sink.

Floats instead of decimals. Ticks are decoded a batch at a time by fastavro, behind the five bytes
of Confluent's framing, and folded in the order they came (`ordered=False` spares it a sort that
one partition a symbol makes needless): open and close are the first and the last tick that came.
A bar goes out once, when its symbol's time has passed it
and 10 s; a later tick goes to a stream of late ones that nobody reads here, where Tapeline
revises; no VWAP; bars are JSON. Recovery is on, with a snapshot every second.
"""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import fastavro
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from marks import Marks

job = json.loads(sys.argv[1])
marks = Marks(job)
schema = fastavro.parse_schema(job["schema"])
EPOCH, MINUTE = datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=1)
brokers = [job["broker"]]


def decoded(messages):
    ticks = (fastavro.schemaless_reader(io.BytesIO(m.value[5:]), schema) for m in messages)
    return [(t["symbol"], (t["event_time"], float(t["price"]), float(t["size"]))) for t in ticks]


def fold(bar, tick):
    marks.add()
    _, price, size = tick
    if not bar:
        return [price, price, price, price, size, 1]
    if price > bar[1]:
        bar[1] = price
    if price < bar[2]:
        bar[2] = price
    bar[3] = price
    bar[4] += size
    bar[5] += 1
    return bar


def merge(left, right):
    return [left[0], max(left[1], right[1]), min(left[2], right[2]), right[3],
            left[4] + right[4], left[5] + right[5]]


def message(closed):
    symbol, (window, bar) = closed
    at = EPOCH + window * MINUTE
    fields = dict(zip(("open", "high", "low", "close", "volume", "trades"), bar, strict=True))
    row = {"symbol": symbol, "open_time": int(at.timestamp()) * 1_000_000, **fields}
    return KafkaSinkMessage(symbol.encode(), json.dumps(row).encode())


flow = Dataflow("bars")
source = KafkaSource(brokers, [job["topic"]], add_config=job["settings"], batch_size=10_000)
ticks = op.flat_map_batch("decode", op.input("ticks", flow, source), decoded)
windows = fold_window(
    "bars", ticks,
    EventClock(lambda tick: tick[0], wait_for_system_duration=timedelta(seconds=10)),
    TumblingWindower(length=MINUTE, align_to=EPOCH),
    list, fold, merge, ordered=False,
)
sink = KafkaSink(brokers, job["bars"], {"compression.type": "lz4"})
op.output("out", op.map("message", windows.down, message), sink)

recovery = Path(job["home"]) / job["group"]
recovery.mkdir()
init_db_dir(recovery, 1)
cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(recovery))
