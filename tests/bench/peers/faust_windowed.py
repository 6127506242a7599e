"""Plain Faust with the windowed table of its documentation: tumbling, relative to the tick's time.

A codec, a model, and a table of windows. As in faust_table.py, bars are floats, sent when their
symbol's next minute begins, open and close by order of arrival, and every event is a record of the
changelog. The table has no `expires`: Faust holds it against the clock on the wall, so a replay of
older ticks would lose its windows at once.
"""

import io
import json
import sys
from datetime import datetime, timedelta

import fastavro
import faust
from faust.serializers import codecs
from faust.types.windows import WindowRange_from_start
from marks import Marks

job = json.loads(sys.argv[1])
marks = Marks(job)
schema = fastavro.parse_schema(job["schema"])
FIELDS = ("open", "high", "low", "close", "volume", "trades")
MINUTE_S = 60


class FramedAvro(codecs.Codec):
    def _loads(self, value):
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)


codecs.register("framed-avro", FramedAvro())


class Tick(faust.Record):
    symbol: str
    event_time: datetime
    price: float
    size: float


app = faust.App(
    job["group"],
    broker=f"kafka://{job['client']['bootstrap.servers']}",
    store="memory://",
    topic_partitions=job["partitions"],
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    datadir=job["home"],
    broker_session_timeout=10.0,
    broker_heartbeat_interval=2.5,
)
ticks = app.topic(job["topic"], key_type=str, value_type=Tick, value_serializer="framed-avro")
out = app.topic(job["bars"], key_type=str, value_serializer="json")
bars = (
    app.Table("bars", partitions=job["partitions"])
    .tumbling(timedelta(seconds=MINUTE_S))
    .relative_to_field(Tick.event_time)
)


@app.agent(ticks, name="fold")
async def fold(stream):
    async for tick in stream:
        price, size = float(tick.price), float(tick.size)
        windows = bars[tick.symbol]
        try:
            bar = windows.value()
        except KeyError:
            begin = int(tick.event_time.timestamp()) // MINUTE_S * MINUTE_S - MINUTE_S
            await send(tick.symbol, begin, windows)
            bars[tick.symbol] = [price, price, price, price, size, 1]
        else:
            bars[tick.symbol] = [bar[0], max(bar[1], price), min(bar[2], price), price,
                                 bar[4] + size, bar[5] + 1]
        marks.add()


async def send(symbol, begin, windows):
    """The window before, if there was one."""
    try:
        bar = windows[WindowRange_from_start(float(begin), float(MINUTE_S))]
    except KeyError:
        return
    row = {"symbol": symbol, "open_time": begin * 1_000_000, **dict(zip(FIELDS, bar))}
    await out.send(key=symbol, value=row)


sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "error"]
app.main()
