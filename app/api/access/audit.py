"""What admins did: two rows of an append-only log for each of their calls.

    intent    before the call: who, what, from where; if it cannot be written, the call is refused
    outcome   before its answer is sent: the status; if it cannot be written, the log says so
    refused   the one row of a call that was not made, because its role was too low

Rows of one call share `call_id`. An intent without an outcome is a call whose process ended, or
whose outcome could not be written: it may have been carried out. No row holds a secret: of a body
there are its SHA-256 and, when it is JSON, what `app.api.redacted` lets through.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import structlog
from starlette.requests import HTTPConnection, Request

from app.api.access.aside import Aside
from app.api.access.meter import Meter
from app.api.access.roles import Principal
from app.api.problems import unavailable
from app.api.redacted import body_of, is_secret, shown, text_of
from app.errors import StoreError

Row = Mapping[str, Any]
Phase = Literal["intent", "outcome", "refused"]

LONGEST_BODY = 4096
"""Characters of a redacted body that are kept; a longer one is left out, its digest stays."""
CALL = "audited_call"
"""Where the state of a connection holds the row of its intent, until the outcome is written."""

log = structlog.get_logger()


class AuditLog(Protocol):
    """Where rows are kept for good: there is no way to change or remove one.

    Every method raises `StoreUnavailable` when it cannot be done now. Safe to call from several
    threads.
    """

    def append(self, row: Row) -> None:
        """Keep a row, with the fields that `Trail` writes."""
        ...

    def newest(self, limit: int) -> list[Row]:
        """Return the newest rows, oldest first."""
        ...


class Trail:
    """Writes the log.

    Args:
        kept: Where.
        aside: Calls it.
        meter: Counts what could not be written.
        now: The time.
    """

    def __init__(
        self,
        kept: AuditLog,
        aside: Aside,
        meter: Meter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kept, self._aside, self._meter, self._now = kept, aside, meter, now

    async def begin(self, connection: HTTPConnection, who: Principal) -> None:
        """Write what is about to be done, once for each call.

        Raises:
            Problem: 503, it cannot be written.
        """
        state = connection.scope["state"]
        if CALL in state:
            return
        row = await _row(connection, who)
        try:
            await self._append(row, "intent")
        except StoreError as error:
            log.error("admin call refused, audit log not written", error=str(error))  # noqa: TRY400
            raise unavailable(
                "The audit log cannot be written now, so nothing was done."
            ) from error
        state[CALL] = row

    async def refused(self, connection: HTTPConnection, who: Principal, status: int) -> None:
        """Write that a call was not let through; a log that is away changes nothing."""
        await self._write_after(await _row(connection, who), "refused", status)

    async def end(self, row: Row, status: int) -> None:
        """Write how a call ended."""
        await self._write_after(row, "outcome", status)

    async def _write_after(self, row: Row, phase: Phase, status: int) -> None:
        try:
            await self._append(row, phase, status)
        except StoreError as error:
            self._meter.outcome_unwritten()
            log.error(  # noqa: TRY400
                "outcome not in the audit log",
                call_id=str(row["call_id"]), phase=phase, status=status, error=str(error),
            )  # fmt: skip

    async def _append(self, row: Row, phase: Phase, status: int | None = None) -> None:
        whole = {**row, "phase": phase, "status": status, "at": self._now()}
        await self._aside.call(self._kept.append, whole)


async def _row(connection: HTTPConnection, who: Principal) -> dict[str, Any]:
    """Return what is known before the call is made, with `call_id` made up."""
    body = await _body(connection)
    scope = connection.scope
    redacted = json.dumps(body_of(body)) if body else None
    return {
        "call_id": uuid4(),
        "name": who.name,
        "role": who.role.value,
        "kind": who.kind,
        "key_id": who.id,
        "method": scope.get("method", "WEBSOCKET"),
        "path": text_of(ascii(scope["path"])[1:-1]),
        "query": _query(scope.get("query_string", b"")),
        "body_sha256": hashlib.sha256(body).hexdigest() if body is not None else None,
        "body": redacted if redacted and len(redacted) <= LONGEST_BODY else None,
        "client": connection.client.host if connection.client else None,
        "request_id": scope["state"].get("request_id"),
    }


async def _body(connection: HTTPConnection) -> bytes | None:
    """Return the body, which the route can read again; None where it is read no more."""
    if not isinstance(connection, Request):
        return None
    try:
        return await connection.body()
    except RuntimeError:  # a form, which was read as a stream
        return None


def _query(query: bytes) -> str:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([(n, "***" if is_secret(n) else shown(v)) for n, v in pairs], safe="*/@:,")
