"""Plain Faust, as its documentation writes it: an agent, a table, an event at a time.

One-minute bars in floats, without finality, revisions or an output topic: less than Tapeline
does, in Faust's favour. The table's changelog is written, an event a record.
"""

import io
import json
import os
import sys
import time

import fastavro
import faust

job = json.loads(sys.argv[1])
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
bars = app.Table("bars", partitions=job["partitions"])
out = sys.__stdout__
done = 0


@app.agent(ticks, name="fold")
async def fold(stream):
    global done
    async for value in stream:
        if not done:
            print(json.dumps({"at": time.time(), "ticks": 0}), file=out, flush=True)
        tick = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)
        price, size = float(tick["price"]), float(tick["size"])
        minute = tick["event_time"].replace(second=0, microsecond=0)
        key = f"{tick['symbol']}|{minute.isoformat()}"
        bar = bars.get(key)
        if bar is None:
            bar = [price, price, price, price, 0.0, 0]
        bars[key] = [bar[0], max(bar[1], price), min(bar[2], price), price,
                     bar[4] + size, bar[5] + 1]
        done += 1
        if done == job["ticks"]:
            print(json.dumps({"at": time.time(), "ticks": done}), file=out, flush=True)
            sys.stdin.read()
            os._exit(0)


sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "error"]
app.main()
