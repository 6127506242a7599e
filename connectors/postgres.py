"""Connections to Postgres, and what its errors mean to us."""

import os
import re
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Timer
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.errors import LoginRefused, StoreError, StoreRejected, StoreUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

_REJECTING = ("22", "23", "54")
"""Classes of SQLSTATE that speak of the rows: bad data, broken constraint, over a size limit."""


_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|certificate"
    r"|(role|database) \".*\" does not exist|permission denied for database|SSL"
)


class Connections:
    """At most `size` connections, made when needed and kept while they work.

    Safe to use from several threads. A connection that failed is closed, and with it those that
    idle: after a server's restart all of them are dead.
    """

    def __init__(  # noqa: PLR0913 - each has a unit and a default
        self,
        url: str,
        *,
        size: int = 8,
        connect_timeout_s: int = 5,
        statement_timeout_s: float = 30.0,
        lock_timeout_s: float = 5.0,
        dead_peer_s: float = 15.0,
        silence_s: float = 5.0,
    ) -> None:
        """Connects on first use.

        Args:
            url: A libpq URL or connection string.
            size: Connections at a time; a caller beyond them waits, 30 s at most.
            connect_timeout_s: Longest wait for a connection.
            statement_timeout_s: The server ends a statement after this; 0: never.
            lock_timeout_s: The server ends a wait for a lock after this.
            dead_peer_s: A peer that acknowledges nothing for so long is given up.
            silence_s: So long after a statement should have been ended by the server, one that
                says nothing (it was stopped, its machine hangs) is given up, too.
        """
        options = {
            "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
            "lock_timeout": f"{lock_timeout_s * 1000:.0f}",
            # A worker stopped inside a transaction must not hold its locks for ever.
            "idle_in_transaction_session_timeout": f"{statement_timeout_s * 1000:.0f}",
            "timezone": "UTC",
            "client_min_messages": "warning",
        }
        given = conninfo_to_dict(url)
        self._conninfo = make_conninfo(
            url,
            connect_timeout=connect_timeout_s,
            application_name=given.get("application_name") or "tapeline",
            keepalives_idle=5,
            keepalives_interval=5,
            tcp_user_timeout=int(dead_peer_s * 1000),
            options=" ".join(
                [str(given.get("options") or ""), *(f"-c {k}={v}" for k, v in options.items())]
            ).strip(),
        )
        self._where = f"{given.get('host') or 'localhost'}:{given.get('port') or 5432}"
        self._patience_s = statement_timeout_s and statement_timeout_s + silence_s
        self._idle: deque[Connection] = deque()
        self._free = BoundedSemaphore(size)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside a transaction, which commits when the body ends.

        Raises:
            StoreUnavailable: No connection, or the server could not do it now.
            StoreRejected: The server refuses the data.
        """
        if not self._free.acquire(timeout=30):
            raise StoreUnavailable(f"Postgres at {self._where}: every connection is in use")
        connection: Connection | None = None
        try:
            connection = self._take()
            with self._cut_in_time(connection), connection.transaction():
                yield connection
        except psycopg.Error as error:
            raise self.translated(error) from error
        finally:
            if connection is not None:
                self._put_back(connection)
            self._free.release()

    @contextmanager
    def _cut_in_time(self, connection: Connection) -> Iterator[None]:
        """Cut a connection whose server does not answer: its kernel may go on acknowledging."""
        if not self._patience_s:
            yield
            return
        timer = Timer(self._patience_s, _cut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def connect(self) -> Connection:
        """Return a connection of the caller's own, in autocommit."""
        try:
            return psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.Error as error:
            raise self.translated(error) from error

    def close(self) -> None:
        """Close the connections that idle."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def translated(self, error: psycopg.Error, what: str = "") -> StoreError:
        """Return our error for Postgres's; `what` names the row, when one is to blame."""
        text = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        message = f"Postgres at {self._where}: {what}{text}{code}"
        if is_rejection(error):
            return StoreRejected(message)
        # For a connection that was never made the driver has no code, only the server's words.
        return (LoginRefused if _LOGIN.search(text) else StoreUnavailable)(message)

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return psycopg.connect(self._conninfo)

    def _put_back(self, connection: Connection) -> None:
        if connection.closed or connection.broken:
            self.close()
        else:
            self._idle.append(connection)


def _cut(connection: Connection) -> None:
    """End a connection from another thread than the one that waits for it."""
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as end,
    ):
        end.shutdown(socket.SHUT_RDWR)


def is_rejection(error: psycopg.Error) -> bool:
    """Return whether the same rows would be refused again.

    Only what speaks of the rows counts. A missing table or permission is no fault of theirs:
    they wait until it is mended.
    """
    if error.sqlstate is None:
        # Refused by the driver before anything was sent, such as text with a NUL byte.
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _REJECTING
