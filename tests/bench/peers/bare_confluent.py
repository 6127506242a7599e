"""A bare librdkafka consumer: takes every record and its value, and does nothing with them."""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

job = json.loads(sys.argv[1])
consumer = Consumer({**job["client"], **job["settings"], "group.id": job["group"],
                     "enable.auto.commit": False, "auto.offset.reset": "earliest"})
consumer.assign([TopicPartition(job["topic"], p, 0) for p in range(job["partitions"])])
done = 0
while done < job["ticks"]:
    messages = consumer.consume(1, 10)
    messages += consumer.consume(job["at_once"] - 1, 0)
    values = [message.value() for message in messages]
    if not done:
        print(json.dumps({"at": time.time(), "ticks": len(values)}), flush=True)
    done += len(values)
print(json.dumps({"at": time.time(), "ticks": done}), flush=True)
sys.stdin.read()
