"""Redis, from the Debian package's binary, as a cache that keeps nothing on disk."""

import shutil
import socket

from infra.local.home import HOST, Home
from infra.local.process import Service

NAME = "redis"
PORTS = ("redis",)

SETTINGS = {
    # The hot store is rebuilt from Kafka, so a restart may lose it.
    "save": "",
    "appendonly": "no",
    # Out of memory must be an error that the sink sees, never a silent eviction.
    "maxmemory-policy": "noeviction",
}
"""What both the local and the Compose server are given; a test compares them."""


def service(home: Home) -> Service:
    """Return the server as it runs on the recorded port."""
    port = home.port("redis")
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(home.data / "redis"),
        "daemonize": "no",
        **SETTINGS,
    }
    options = [part for key, value in settings.items() for part in (f"--{key}", value)]
    return Service(
        name=NAME,
        argv=[_binary() or "redis-server", *options],
        pidfile=home.run / "redis.json",
        log=home.logs / "redis.log",
        is_ready=lambda: _answers(port),
        ready_timeout_s=20,
        stop_timeout_s=10,
    )


def missing() -> list[str]:
    """Return the Debian packages without which it cannot start."""
    return [] if _binary() else ["redis-server"]


def prepare(home: Home) -> None:
    """Make the data folder."""
    (home.data / "redis").mkdir(parents=True, exist_ok=True)


def complete(home: Home) -> None:
    """Nothing is left to do once it answers."""


def _binary() -> str | None:
    return shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
