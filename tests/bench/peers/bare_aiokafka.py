"""A bare aiokafka consumer: takes every record, and does nothing with it."""

import asyncio
import json
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

job = json.loads(sys.argv[1])


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job["client"]["bootstrap.servers"], group_id=None,
        auto_offset_reset="earliest", enable_auto_commit=False,
        max_partition_fetch_bytes=8 << 20, fetch_max_bytes=50 << 20,
    )
    await consumer.start()
    consumer.assign([TopicPartition(job["topic"], p) for p in range(job["partitions"])])
    done = 0
    while done < job["ticks"]:
        found = await consumer.getmany(timeout_ms=1000, max_records=job["at_once"])
        taken = sum(len([record.value for record in records]) for records in found.values())
        if not done and taken:
            print(json.dumps({"at": time.time(), "ticks": taken}), flush=True)
        done += taken
    print(json.dumps({"at": time.time(), "ticks": done}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await consumer.stop()


asyncio.run(main())
