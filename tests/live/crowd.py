"""Very many WebSocket clients in one process: ``python -m tests.live.crowd URL --clients 10000``.

Each subscribes to a few quotes and reads as its kind does; a sample looks when each quote was
made (its `event_time`, which its producer sets to the moment it sends it) and how much later it
came. When standard input closes, one JSON object is printed. Bare sockets and frames: thousands of
whole clients would cost more than the server that they try.

    normal   reads at once and answers pings
    slow     reads 4 KB a second
    silent   subscribes and never reads
"""

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import time
from collections import Counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

SAMPLED = 500
CONNECTING = 100
"""At a time."""
SLOW_BYTES, SLOW_EVERY_S = 4_096, 1.0
TEXT, PING, PONG, CLOSE = 1, 9, 10, 8
MARK = b'"event_time":'


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame (RFC 6455, section 5.2), masked with zeros."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


class Crowd:
    """What all clients of a process saw."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.late_us: list[int] = []

    def result(self) -> dict[str, object]:
        """Return counts, and percentiles of the delay in milliseconds."""
        late = sorted(self.late_us)

        def at(share: float) -> float | None:
            return (
                round(late[min(len(late) - 1, int(share * len(late)))] / 1000, 2) if late else None
            )

        return {
            **self.counts,
            "samples": len(late), "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999),
            "max_ms": at(1.0),
        }  # fmt: skip


class Client(asyncio.Protocol):
    """One of them."""

    def __init__(self, crowd: Crowd, path: str, host: str, streams: list[str], kind: str) -> None:
        self._crowd, self._path, self._host = crowd, path, host
        self._streams, self._kind = streams, kind
        self.is_sampled = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._is_open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not buffer.startswith(b"HTTP/1.1 101"):
                self._crowd.counts["refused"] += 1
                self._transport.close()
                return
            del buffer[: end + 4]
            self._open()
        while (size := self._frame()) is not None:
            del buffer[:size]

    def _open(self) -> None:
        self._is_open = True
        self._crowd.counts["connected"] += 1
        request = {"op": "subscribe", "streams": self._streams}
        self._transport.write(frame(TEXT, json.dumps(request).encode()))
        if not self.opened.done():
            self.opened.set_result(None)
        if self._kind != "normal":
            self._transport.pause_reading()
        if self._kind == "slow":
            asyncio.get_running_loop().call_later(SLOW_EVERY_S, self._sip)

    def _sip(self) -> None:
        """Read a little: what one read of the socket brings."""
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._transport.pause_reading)
        loop.call_later(SLOW_EVERY_S, self._sip)

    def _frame(self) -> int | None:
        """Take the frame at the buffer's start; return its length, None when it is not whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, size, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        end = start + size
        if len(buffer) < end:
            return None
        counts = self._crowd.counts
        if opcode == TEXT:
            counts["messages"] += 1
            counts["bytes"] += size
            if self.is_sampled:
                self._look(buffer, start, end)
        elif opcode == PING:
            self._transport.write(frame(PONG, bytes(buffer[start:end])))
        elif opcode == CLOSE:
            counts["closed_by_server"] += 1
            self._transport.close()
        return end

    def _look(self, buffer: bytearray, start: int, end: int) -> None:
        at = buffer.find(MARK, start, end)
        if at < 0 or buffer.find(b'"type":"update"', start, start + 40) < 0:
            return
        made_us = int(buffer[at + len(MARK) : buffer.index(b",", at)])
        self._crowd.late_us.append(time.time_ns() // 1000 - made_us)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.counts["lost" if exc else "ended"] += 1
        if not self.opened.done():
            self.opened.set_result(None)


async def run(options: argparse.Namespace) -> None:
    """Connect all, say so, and wait until standard input closes."""
    loop = asyncio.get_running_loop()
    url, crowd, dice = urlsplit(options.url), Crowd(), random.Random(options.seed)
    path = url.path + (f"?{url.query}" if url.query else "")
    gate = asyncio.Semaphore(CONNECTING)
    names = [f"quotes:S{n:05d}/USD@CROWD" for n in range(options.symbols)]
    clients: list[Client] = []

    async def join(n: int) -> None:
        async with gate:
            streams = dice.sample(names, options.streams)
            _, client = await loop.create_connection(
                lambda: Client(crowd, path, url.netloc, streams, options.kind),
                url.hostname, url.port,
                local_addr=("127.0.0.2", 0),
            )  # fmt: skip
            clients.append(client)
            await client.opened

    began_s = time.monotonic()
    await asyncio.gather(*(join(n) for n in range(options.clients)))
    sys.stdout.write(f"connected in {time.monotonic() - began_s:.1f} s\n")
    sys.stdout.flush()
    for client in dice.sample(clients, min(SAMPLED, len(clients))):
        client.is_sampled = options.kind == "normal"
    await loop.run_in_executor(None, sys.stdin.readline)  # a line: from now on it counts
    crowd.late_us.clear()
    crowd.counts["messages"] = crowd.counts["bytes"] = 0
    await loop.run_in_executor(None, sys.stdin.read)
    sys.stdout.write(json.dumps(crowd.result()) + "\n")
    sys.stdout.flush()
    os._exit(0)  # sockets of thousands are not closed one by one


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--kind", choices=("normal", "slow", "silent"), default="normal")
    parser.add_argument("--seed", type=int, default=1)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
