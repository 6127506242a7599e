"""Plain Faust, as its documentation writes it: an agent, a table, an event at a time.

One-minute bars in floats, sent when their symbol's next minute begins: without finality, revisions
or VWAP, open and close by order of arrival, less than Tapeline does, in Faust's favour. The table's
changelog is written, an event a record. Ticks are decoded in the agent, which is faster than a
codec and a model.
"""

import io
import json
import sys

import fastavro
import faust
from marks import Marks

job = json.loads(sys.argv[1])
marks = Marks(job)
schema = fastavro.parse_schema(job["schema"])
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
ticks = app.topic(job["topic"], key_type=bytes, value_type=bytes,
                  key_serializer="raw", value_serializer="raw")
out = app.topic(job["bars"], key_type=str, value_serializer="json") if job.get("bars") else None
bars = app.Table("bars", partitions=job["partitions"])
FIELDS = ("open_time", "open", "high", "low", "close", "volume", "trades")


@app.agent(ticks, name="fold")
async def fold(stream):
    async for value in stream:
        tick = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)
        symbol, price, size = tick["symbol"], float(tick["price"]), float(tick["size"])
        minute = int(tick["event_time"].timestamp()) // 60 * 60_000_000
        bar = bars.get(symbol)
        if bar is None or bar[0] != minute:
            if bar is not None and out is not None:
                await out.send(key=symbol, value={"symbol": symbol, **dict(zip(FIELDS, bar))})
            bars[symbol] = [minute, price, price, price, price, size, 1]
        else:
            bars[symbol] = [minute, bar[1], max(bar[2], price), min(bar[3], price), price,
                            bar[5] + size, bar[6] + 1]
        marks.add()


sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "error"]
app.main()
