"""What one would write first: FastAPI, one consumer, a set of sockets for each stream.

    python -m tests.bench.peers.plain_fanout BROKER TOPIC PORT

No snapshot, sequence, resume, throttle, rate or conflation: a client that reads slowly holds up
all behind it, as the loop awaits each send; so every send gets a task of its own here.
"""

import asyncio
import json
import os
import sys
import traceback
from collections import defaultdict
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaConsumer
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.websockets import WebSocketState
from schemas.json_form import jsonable
from schemas.record import RecordCodec
from schemas.registry import built_in

listeners = defaultdict(set)
tasks = set()


@asynccontextmanager
async def lifespan(_app):
    pumping = asyncio.create_task(pump(sys.argv[1], sys.argv[2]))
    pumping.add_done_callback(end)
    yield
    pumping.cancel()
    await asyncio.wait([pumping])


def end(pumping):
    # Without it all clients would stay, and get nothing.
    if not pumping.cancelled():
        traceback.print_exception(pumping.exception() or EOFError("no more records"))
        os._exit(1)


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws")
async def serve(socket: WebSocket):
    await socket.accept()
    names = []
    try:
        while True:
            asked = json.loads(await socket.receive_text())
            names = asked["streams"]
            for name in names:
                listeners[name].add(socket)
    except WebSocketDisconnect:
        for name in names:
            listeners[name].discard(socket)


async def send(socket, text):
    try:
        await socket.send_text(text)
    except WebSocketDisconnect:
        pass
    except RuntimeError:
        # Also of a socket that is closed already, by either side.
        if {socket.client_state, socket.application_state} == {WebSocketState.CONNECTED}:
            raise


async def pump(broker, topic):
    codec = RecordCodec("quote", built_in())
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="latest")
    try:
        await consumer.start()
        async for record in consumer:
            row = jsonable("quote", codec.decode(record.value))
            name = f"quotes:{row['symbol']}@{row['venue']}"
            update = {"type": "update", "stream": name, "data": row}
            text = json.dumps(update, separators=(",", ":"))
            for socket in list(listeners[name]):
                task = asyncio.create_task(send(socket, text))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[3]), log_level="error", loop="uvloop")
