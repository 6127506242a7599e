"""Command line of the local stack: ``python -m infra.local up``.

Progress goes to standard error. With ``--json`` the last line of standard output is one
JSON object. Exit status: 0 done (``status``: all servers answer), 1 not, 2 wrong usage.
"""

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from infra.local import kafka, postgres, redis
from infra.local.home import Home
from infra.local.process import Service, StackError, find, start, stop


class Server(Protocol):
    """What each server's module offers."""

    NAME: str
    PORTS: tuple[str, ...]

    def service(self, home: Home) -> Service:
        """Return how it is started and stopped."""

    def missing(self) -> list[str]:
        """Return the Debian packages it lacks."""

    def prepare(self, home: Home) -> None:
        """Do what must be done before a start; quick when there is nothing to do."""

    def complete(self, home: Home) -> None:
        """Do what must be done once it answers."""


SERVERS: dict[str, Server] = {module.NAME: module for module in (kafka, redis, postgres)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    names = [options.name] if options.name else list(SERVERS)
    try:
        home = Home.from_env()
        if options.command == "status":
            return status(home, as_json=options.json)
        with _alone(home):
            home = Home.from_env()
            if options.command == "fetch":
                kafka.fetch(home)
            if options.command in {"down", "stop", "restart"}:
                _each(names, lambda name: _stop(home, name, hard=options.hard))
            if options.command in {"up", "start", "restart"}:
                _up(home, names, as_json=options.json)
    except StackError as error:
        print(f"local stack: {error}", file=sys.stderr)
        return 1
    return 0


def status(home: Home, *, as_json: bool) -> int:
    """Print each server's state; return 0 if all answer."""
    rows = {}
    for name, server in SERVERS.items():
        service = server.service(home)
        pid = find(service.pidfile)
        state = "down" if pid is None else "up" if service.is_ready() else "silent"
        rows[name] = {"state": state, "pid": pid, "address": home.addresses()[name]}
    if as_json:
        print(json.dumps(rows))
    else:
        for name, row in rows.items():
            print(f"{name:<9} {row['state']:<7} {row['address']}")
    return 0 if all(row["state"] == "up" for row in rows.values()) else 1


def _up(home: Home, names: list[str], *, as_json: bool) -> None:
    began = time.monotonic()
    missing = sorted({package for name in names for package in SERVERS[name].missing()})
    if missing:
        packages = " ".join(missing)
        raise StackError(f"missing Debian packages, as root run: apt-get install {packages}")
    for name in names:
        # A server that runs keeps its port, whatever the environment says now.
        if find(SERVERS[name].service(home).pidfile) is None:
            for port in SERVERS[name].PORTS:
                home.choose_port(port)
    home.identity()
    home.save()
    _each(names, lambda name: _start(home, name))
    home.save()
    if as_json:
        seconds = round(time.monotonic() - began, 1)
        where = {"home": str(home.path), "logs": str(home.logs)}
        print(json.dumps({**home.addresses(), **where, "seconds": seconds}))


def _start(home: Home, name: str) -> None:
    server, began = SERVERS[name], time.monotonic()
    service = server.service(home)
    if find(service.pidfile) is None:
        server.prepare(home)
        # What was prepared may say more about how to start it.
        service = server.service(home)
    start(service)
    server.complete(home)
    seconds = time.monotonic() - began
    print(f"{name:<9} up      {home.addresses()[name]}  {seconds:.1f} s", file=sys.stderr)


def _stop(home: Home, name: str, *, hard: bool) -> None:
    if stop(SERVERS[name].service(home), hard=hard):
        print(f"{name:<9} stopped", file=sys.stderr)


def _each(names: list[str], act: Callable[[str], None]) -> None:
    """Act on all servers at once; report every failure, not only the first."""
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        errors = [error for error in pool.map(lambda name: _caught(act, name), names) if error]
    if errors:
        raise StackError("\n".join(errors))


def _caught(act: Callable[[str], None], name: str) -> str | None:
    try:
        act(name)
    except StackError as error:
        return str(error)
    except OSError as error:
        return f"{name}: {error}"
    return None


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Wait until no other command changes this home's stack."""
    with (home.run / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.set_defaults(name=None, hard=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in {
        "up": "start what does not run",
        "down": "stop all servers",
        "fetch": "download what a start needs, and start nothing",
        "status": "say which servers answer",
        "start": "start one server",
        "stop": "stop one server",
        "restart": "stop and start one server",
    }.items():
        sub = commands.add_parser(command, help=what)
        if command in {"start", "stop", "restart"}:
            sub.add_argument("name", choices=SERVERS)
        if command in {"stop", "restart", "down"}:
            sub.add_argument("--hard", action="store_true", help="kill; postgres: immediate")
        sub.add_argument("--json", action="store_true", help="last line of output is JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
