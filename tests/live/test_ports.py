"""What workers listen on: nothing. Faust's web server would serve table data to anyone."""

import os
import socket
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.live.conftest import MakeWorld

pytestmark = pytest.mark.live

FAUST_WEB = 6066
LISTENING = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


def test_nothing_listens_on_fausts_port_nor_beyond_this_machine(make_world: MakeWorld) -> None:
    world = make_world()
    (worker,) = world.started("all")
    pids = worker.pids()
    assert len(pids) == 4, "the supervisor and three roles"

    listening = [found for pid in pids for found in _listening(pid)]

    assert [address for address, _ in listening if address not in LOOPBACK] == []
    assert FAUST_WEB not in {port for _, port in listening}
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", FAUST_WEB)) != 0


def test_the_search_finds_a_socket_that_listens_everywhere() -> None:
    """The test above would be green as well if it looked in the wrong place."""
    with closing(socket.socket()) as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104 - what must be found
        server.listen()

        assert ("00000000", server.getsockname()[1]) in _listening(os.getpid())


def _listening(pid: int) -> list[tuple[str, int]]:
    """Return the address, in hexadecimal, and the port of each listening socket of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as the listing's own is
            inodes.add(link.readlink().name.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTENING and fields[9] in inodes:
                found.append((address, int(port, 16)))
    return found
