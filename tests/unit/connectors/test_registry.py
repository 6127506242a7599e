"""What a registry that does not answer means: real HTTP on a port of the test's own."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.breaker import Breaker
from app.errors import RegistryUnavailable
from connectors.registry import ConfluentRegistry, Unanswered, UnregisteredId
from schemas.block import decode
from schemas.record import RecordCodec
from schemas.registry import current
from schemas.wire import frame
from tests.unit.schemas.records import tick

WAIT_S = 0.6
TICK, LATER = 7, 8


class Server:
    """A registry that knows the tick under two ids; it can refuse to answer.

    Attributes:
        is_down: Whether it answers 503.
        asked: Paths that were asked for.
    """

    def __init__(self) -> None:
        server = self
        self.is_down = False
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                schema_id = int(self.path.rpartition("/")[2])
                known = schema_id in {TICK, LATER}
                body = {"schema": json.dumps(current("tick"))} if known else {}
                self.answer(200 if known else 404, body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(200, {"id": TICK})

            def answer(self, status: int, body: object) -> None:
                server.asked.append(self.path)
                self.send_response(503 if server.is_down else status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:  # type: ignore[override]
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


@pytest.fixture
def registry(server: Server) -> Iterator[ConfluentRegistry]:
    breaker = Breaker(1, 0.3, 0.3)
    with closing(ConfluentRegistry(server.url, wait_s=WAIT_S, breaker=breaker)) as registry:
        registry.id_of("tick")
        yield registry


def framed(schema_id: int) -> bytes:
    """Return a tick written with an id."""

    class Ids:
        def id_of(self, _name: str) -> int:
            return schema_id

    return RecordCodec("tick", Ids()).encode(tick())  # type: ignore[arg-type]  # writes only


def test_an_unknown_id_waits_and_is_read_when_the_registry_is_back(
    server: Server, registry: ConfluentRegistry
) -> None:
    server.is_down = True
    threading.Timer(WAIT_S / 3, lambda: setattr(server, "is_down", False)).start()

    assert registry.writer(LATER)["name"] == "Tick"


def test_it_waits_no_longer_than_the_cap_and_is_then_set_aside_with_its_own_reason(
    server: Server, registry: ConfluentRegistry
) -> None:
    server.is_down = True
    began = time.monotonic()
    decoded = decode([framed(TICK), framed(LATER), framed(TICK)], "tick", registry)

    assert WAIT_S / 2 < time.monotonic() - began < WAIT_S + 1
    assert decoded.frame["row"].to_list() == [0, 2]
    assert [(bad.row, bad.reason) for bad in decoded.bad] == [(1, "registry_unavailable")]


def test_a_hundred_unknown_ids_wait_together_no_longer_than_one(
    server: Server, registry: ConfluentRegistry
) -> None:
    server.is_down = True
    values = [framed(TICK), *(frame(1000 + n, b"x") for n in range(100))]
    began = time.monotonic()
    decoded = decode(values, "tick", registry)

    assert time.monotonic() - began < WAIT_S + 1
    assert {bad.reason for bad in decoded.bad} == {"registry_unavailable"}
    assert len(decoded.bad) == 100


def test_what_had_no_answer_is_asked_for_again(server: Server, registry: ConfluentRegistry) -> None:
    server.is_down = True
    with pytest.raises(Unanswered):
        registry.writer(LATER)
    server.is_down = False
    time.sleep(0.3)

    assert registry.writer(LATER)["name"] == "Tick"


def test_an_id_that_is_not_there_is_no_trouble_of_the_server(
    server: Server, registry: ConfluentRegistry
) -> None:
    with pytest.raises(UnregisteredId):
        registry.writer(999)
    asked = len(server.asked)
    with pytest.raises(UnregisteredId):
        registry.writer(999)

    assert len(server.asked) == asked
    assert registry.writer(LATER)["name"] == "Tick"


def test_a_restart_goes_on_with_what_was_looked_up_while_the_registry_is_down(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "schemas.json"
    with closing(ConfluentRegistry(server.url, known=file)) as first:
        first.id_of("tick")
        first.writer(LATER)
    server.is_down = True

    with closing(ConfluentRegistry(server.url, known=file)) as second:
        assert second.id_of("tick") == TICK
        assert second.writer(LATER)["name"] == "Tick"
        with pytest.raises(RegistryUnavailable):
            second.id_of("bar")


def test_what_another_registry_said_does_not_count(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "schemas.json"
    with closing(ConfluentRegistry(server.url, known=file)) as first:
        first.id_of("tick")

    with (
        closing(ConfluentRegistry("http://user:s3cret@127.0.0.1:1", known=file)) as other,
        pytest.raises(RegistryUnavailable) as caught,
    ):
        other.id_of("tick")
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in file.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"registry": 1}'])
def test_a_file_that_is_broken_is_as_none(server: Server, tmp_path: Path, text: str) -> None:
    file = tmp_path / "schemas.json"
    file.write_text(text)

    with closing(ConfluentRegistry(server.url, known=file)) as registry:
        assert registry.id_of("tick") == TICK
