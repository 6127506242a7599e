"""Where the local stack keeps its things, and which ports it listens on.

`TAPELINE_HOME` holds ``downloads/jars`` (the broker's, fetched once), ``data/`` and ``logs/``
with one entry a server, and ``run/`` with pidfiles, the lock and ``stack.json``.
"""

import errno
import json
import os
import random
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.process import StackError

HOST = "127.0.0.1"

DEFAULT_PORTS = {
    "kafka": 19092,
    "kafka_controller": 19093,
    "redis": 16379,
    "postgres": 15432,
}

# Below Linux's ephemeral range, so that no client connection takes a port between two starts.
FREE_PORTS = range(20_000, 32_000)


@dataclass
class Home:
    """The stack's folder, with what was recorded by earlier starts."""

    path: Path
    ports: dict[str, int] = field(default_factory=dict)
    """Chosen ports by name (`DEFAULT_PORTS`), kept in ``run/stack.json``."""
    extra: dict[str, str] = field(default_factory=dict)
    """Whatever else the servers want recorded, such as where PostgreSQL's data went."""

    @classmethod
    def from_env(cls) -> "Home":
        """Return the home that `TAPELINE_HOME` names, with its recorded ports.

        Raises:
            StackError: The folder cannot be made.
        """
        default = Path.home() / ".local" / "share" / "tapeline"
        path = Path(os.environ.get("TAPELINE_HOME") or default).expanduser().absolute()
        home = cls(path)
        try:
            for folder in (home.run, home.logs, home.data, home.downloads):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"TAPELINE_HOME must be a folder that can be written, was {path}: {error}"
            ) from error
        try:
            recorded = json.loads(home.stack_file.read_text())
            # Not all of them are there when only some servers were ever started.
            known = recorded["ports"]
            home.ports = {name: int(known[name]) for name in DEFAULT_PORTS if name in known}
        except (OSError, ValueError, KeyError, TypeError):
            home.ports = {}
        return home

    @property
    def run(self) -> Path:
        """Pidfiles, `stack.json`, the lock."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One log a server, and the log of the download."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """One folder a server."""
        return self.path / "data"

    @property
    def downloads(self) -> Path:
        """What is fetched once and kept."""
        return self.path / "downloads"

    @property
    def stack_file(self) -> Path:
        """The record that the application and the next start read."""
        return self.run / "stack.json"

    def identity(self) -> str:
        """Return a name for this life of the data, 32 hex digits, made on first use.

        It lies beside the data, so data kept elsewhere is recognised as stale once
        the data folder was removed.
        """
        file = self.data / "identity"
        if not file.exists():
            file.write_text(secrets.token_hex(16) + "\n")
        return file.read_text().strip()

    def choose_port(self, name: str) -> int:
        """Return the port for `name`, free now, and remember it.

        The environment's wins if it is free, then the recorded one, then the default, then
        any free one. ``TAPELINE_<NAME>_PORT=0`` skips the default.

        Raises:
            StackError: The variable is no port number.
        """
        variable = f"TAPELINE_{name.upper()}_PORT"
        wanted = os.environ.get(variable) or None
        if wanted is not None and not (wanted.isdecimal() and int(wanted) < 2**16):
            raise StackError(
                f"{variable} must be a port number, or 0 for a free one, was {wanted!r}"
            )
        given = [int(wanted)] if wanted is not None else []
        default = [] if wanted is not None else [DEFAULT_PORTS[name]]
        recorded = [self.ports[name]] if name in self.ports else []
        taken = {port for other, port in self.ports.items() if other != name}
        shuffled = random.sample(FREE_PORTS, len(FREE_PORTS))
        for port in [*given, *recorded, *default, *shuffled]:
            if port and port not in taken and is_free(port):
                self.ports[name] = port
                return port
        raise StackError(f"no free port for {name} on {HOST}")

    def port(self, name: str) -> int:
        """Return the recorded port for `name`, or the default."""
        return self.ports.get(name, DEFAULT_PORTS[name])

    def addresses(self) -> dict[str, str]:
        """Return what a client connects to, by server."""
        return {
            "kafka": f"{HOST}:{self.port('kafka')}",
            "redis": f"redis://{HOST}:{self.port('redis')}/0",
            "postgres": f"postgresql://tapeline@{HOST}:{self.port('postgres')}/tapeline",
        }

    def save(self) -> None:
        """Write `stack.json` in one step, so that a reader never sees half of it."""
        record = {
            **self.addresses(),
            "home": str(self.path),
            "logs": str(self.logs),
            "ports": self.ports,
            **self.extra,
        }
        partial = self.stack_file.with_suffix(".partial")
        partial.write_text(json.dumps(record, indent=2) + "\n")
        partial.replace(self.stack_file)


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # Connections of a server that just stopped linger in TIME_WAIT; they do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
