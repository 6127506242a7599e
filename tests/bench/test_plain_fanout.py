"""The plain fan-out that the clients' bench is held against: a fair one says when it fails."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Producer
from websockets.sync.client import ClientConnection, connect

from app import topics
from connectors.kafka_admin import KafkaAdmin
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.bench.ground import ROOT, free_port
from tests.conftest import Stack
from tests.contract.records import quote

WITHIN_S = 30.0
QUOTE = RecordCodec("quote", built_in()).encode(quote(symbol="BTC/USD"))


@contextmanager
def started(broker: str, topic: str, port: int) -> Iterator["subprocess.Popen[str]"]:
    """Run it; what is deprecated is an error."""
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__"]
    with subprocess.Popen(
        [*command, "-m", "tests.bench.peers.plain_fanout", broker, topic, str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def topic(stack: Stack) -> Iterator[str]:
    admin = KafkaAdmin({"bootstrap.servers": stack.kafka}, prefix := f"fanout_{uuid4().hex[:8]}.")
    admin.apply([topics.QUOTES], 1)
    yield prefix + topics.QUOTES.name
    admin.delete([prefix + topics.QUOTES.name])


def wait_for(port: int) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/openapi.json")
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
        else:
            return


def first_of(client: ClientConnection, producer: Producer, topic: str) -> str:
    """Return what comes first, of quotes that are sent until one does."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        producer.produce(topic, QUOTE, key="BTC/USD")
        producer.flush(5)
        try:
            return str(client.recv(0.5))
        except TimeoutError:
            assert time.monotonic() < deadline, "no quote came"


@pytest.mark.live
def test_quotes_come_and_one_that_it_cannot_read_ends_it_with_the_error(
    stack: Stack, topic: str
) -> None:
    port, producer = free_port(), Producer({"bootstrap.servers": stack.kafka})
    with started(stack.kafka, topic, port) as server:
        wait_for(port)
        with connect(f"ws://127.0.0.1:{port}/ws") as client:
            client.send(json.dumps({"streams": ["quotes:BTC/USD@KRAKEN"]}))
            came = json.loads(first_of(client, producer, topic))
            producer.produce(topic, b"no quote", key="BTC/USD")
            producer.flush(5)
            said, _ = server.communicate(timeout=WITHIN_S)

    assert (came["stream"], came["data"]["bid"]) == ("quotes:BTC/USD@KRAKEN", "99.5")
    assert (server.returncode, "Undecodable" in said) == (1, True), said


def test_without_a_broker_it_ends_with_the_error() -> None:
    with started(f"127.0.0.1:{free_port()}", "quotes.v1", free_port()) as server:
        said, _ = server.communicate(timeout=WITHIN_S)

    assert (server.returncode, "KafkaConnectionError: Unable to bootstrap" in said) == (1, True), (
        said
    )
