"""Toxiproxy, the real server: connections that are slow, narrow, silent or reset.

``python -m tests.fault.toxiproxy`` builds it once into TAPELINE_HOME/downloads, by any Go from
Debian 12's 1.19 on.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx

from infra.local.home import HOST, Home
from tests.fault.cluster import free_port

VERSION = "2.5.0"
MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
READY_WITHIN_S = 10.0
LOG_SHOWN = 4_000
BOTH_WAYS = ("upstream", "downstream")
"""To the server, and from it."""


def binary() -> Path:
    """Return the server's program, built if it is not there yet."""
    found = Home.from_env().downloads / f"toxiproxy-server-{VERSION}"
    if not found.exists():
        _build(found)
    return found


def _build(target: Path) -> None:
    go = shutil.which("go")
    assert go, "Toxiproxy is built by Go: apt-get install --no-install-recommends golang-go"
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        env = {
            **os.environ,
            "GOBIN": str(folder / "bin"),
            "GOPATH": str(folder / "path"),
            "GOCACHE": str(folder / "cache"),
            # The module cache is made read-only otherwise, and could not be removed.
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        }
        done = subprocess.run(
            [go, "install", MODULE], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"building Toxiproxy failed:\n{done.stderr}"
        (folder / "bin" / "server").replace(target)


class Proxy:
    """One way to a server, whose clients connect to `port` instead.

    Args:
        client: Of Toxiproxy's own interface.
        name: Names it there.
        port: Where it listens.
    """

    def __init__(self, client: httpx.Client, name: str, port: int) -> None:
        self._client, self._path, self.port = client, f"/proxies/{name}", port
        self._toxics: list[str] = []

    def add(self, kind: str, *, ways: tuple[str, ...] = BOTH_WAYS, **attributes: int) -> None:
        """Add a toxic, such as ``latency``, to each way; see Toxiproxy's README for attributes."""
        for way in ways:
            name = f"{kind}-{way}"
            toxic = {"name": name, "type": kind, "stream": way, "attributes": attributes}
            self._ask("POST", "/toxics", toxic)
            self._toxics.append(name)

    def cut(self) -> None:
        """Let nothing through, and say nothing: what a lost route looks like."""
        self.add("timeout", timeout=0)

    def refuse(self) -> None:
        """Close all connections, and take no more."""
        self._ask("POST", "", {"enabled": False})

    def heal(self) -> None:
        """Take all toxics away, and let connections in."""
        for name in self._toxics:
            self._ask("DELETE", f"/toxics/{name}")
        self._toxics.clear()
        self._ask("POST", "", {"enabled": True})

    def _ask(self, method: str, path: str, body: Any = None) -> None:
        answer = self._client.request(method, self._path + path, json=body)
        answer.raise_for_status()


class Toxiproxy:
    """The server, on a free port, as long as the context is open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "toxiproxy.log"
        self._port = free_port()
        self._client = httpx.Client(base_url=f"http://{HOST}:{self._port}", timeout=READY_WITHIN_S)

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, str(binary()), "-host", HOST, "-port", str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, f"Toxiproxy ended: {self.tail()}"
            assert time.monotonic() < deadline, f"Toxiproxy is silent: {self.tail()}"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.kill()
        self._process.wait()

    def proxy(self, upstream_port: int, port: int | None = None) -> Proxy:
        """Open a way to a server of this machine.

        Args:
            upstream_port: The server's.
            port: Where to listen; None takes a free one.
        """
        port = port or free_port()
        name = f"to-{upstream_port}"
        body = {"name": name, "listen": f"{HOST}:{port}", "upstream": f"{HOST}:{upstream_port}"}
        self._client.post("/proxies", json=body).raise_for_status()
        return Proxy(self._client, name, port)

    def tail(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-LOG_SHOWN:]

    def _answers(self) -> bool:
        try:
            return self._client.get("/version").is_success
        except httpx.TransportError:
            return False


if __name__ == "__main__":
    sys.stdout.write(f"{binary()}\n")
