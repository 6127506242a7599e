"""What a stream tells, and what of its streams the client remembers from frame to frame."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from app.client.errors import ApiProblem, Unreachable
from app.client.frames import Row, row

RECORDS = {"quotes": "quote", "bars": "bar", "ticks": "tick", "anomalies": "anomaly"}
STREAMS_AT_ONCE = 100
"""Of one request: the API takes 64 KiB."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream, or about the connection.

    Attributes:
        type: ``snapshot``: the stream's newest values, from which the updates go on;
            ``resumed``: goes on behind the token, without values; ``update``: one value;
            ``status``: the data have become stale or fresh, or the connection is lost and is
            being made again; of no stream, without values.
        stream: Such as ``quotes:BTC/USD@KRAKEN``; empty in a status.
        rows: The values, oldest first.
        token: Goes on from here, given to another `stream()` later.
        merged: Older values of the same thing that this one stands for.
        missed: Values that were left out before this one, as the client was too slow.
        is_anew: A snapshot although there was a token: too much had happened since, and what is
            between is lost to this stream. Ask the history for it.
        stale: Whether the pipeline behind the API is behind, as of the last heartbeat.
        age_s: By how much, at most; None before the first heartbeat.
        connected: False only in a status that says that the connection is lost.
    """

    type: Literal["snapshot", "resumed", "update", "status"]
    stream: str = ""
    rows: list[Row] = field(default_factory=list)
    token: str | None = None
    merged: int = 0
    missed: int = 0
    is_anew: bool = False
    stale: bool = False
    age_s: float | None = None
    connected: bool = True

    @property
    def row(self) -> Row | None:
        """The newest value; None in a message without any."""
        return self.rows[-1] if self.rows else None


class Followed:
    """The streams of one `stream()`: tokens outlive a connection, sequence numbers do not.

    Args:
        streams: Their names.
        throttle: Share by which a quote's mid has to move; None: the API's own.
        rate: Messages a second; None: the API's own.
        tokens: Places from which to go on, by stream.
    """

    def __init__(
        self,
        streams: list[str],
        throttle: float | None,
        rate: float | None,
        tokens: Mapping[str, str],
    ) -> None:
        self._streams = list(dict.fromkeys(streams))
        for name in self._streams:
            if name.partition(":")[0] not in RECORDS:
                raise ValueError(f"a stream must begin with one of {[*RECORDS]}, was {name!r}")
        if not self._streams:
            raise ValueError("streams must name one stream at least")
        given = {"throttle": throttle, "rate": rate}
        self._options = {name: value for name, value in given.items() if value is not None}
        self.tokens = {name: tokens[name] for name in self._streams if name in tokens}
        self._seq: dict[str, int] = {}
        self.stale = False
        self.age_s: float | None = None
        self.beats = 0
        """Heartbeats since it was opened."""

    def opening(self) -> Iterator[str]:
        """Yield what to send on a new connection."""
        self._seq.clear()
        self.beats = 0
        for first in range(0, len(self._streams), STREAMS_AT_ONCE):
            names = self._streams[first : first + STREAMS_AT_ONCE]
            resume = {name: self.tokens[name] for name in names if name in self.tokens}
            asked = {"op": "subscribe", "id": first, "streams": names, "resume": resume}
            yield msgspec.json.encode({**asked, **self._options}).decode()

    def take(self, frame: str | bytes) -> Message | None:
        """Return what a frame says; None when there is nothing to tell.

        Raises:
            ApiProblem: The API refuses a stream.
            Unreachable: A message was lost on the way.
        """
        said = msgspec.json.decode(frame)
        match said["type"]:
            case "heartbeat":
                return self._beat(said)
            case "error":
                raise ApiProblem.of(said["problem"])
            case "snapshot" | "resumed" | "update" as kind:
                return self._message(kind, said)
        return None

    def _beat(self, said: Mapping[str, Any]) -> Message | None:
        self.beats += 1
        before, self.stale, self.age_s = self.stale, said["stale"], said["age_s"]
        return None if before == self.stale else self.status()

    def status(self, *, connected: bool = True) -> Message:
        """Return how things are; without a connection nothing is known to be fresh."""
        stale = self.stale if connected else True
        return Message("status", stale=stale, age_s=self.age_s, connected=connected)

    def _message(
        self, kind: Literal["snapshot", "resumed", "update"], said: Mapping[str, Any]
    ) -> Message:
        name, seq = said["stream"], said["seq"]
        expected = self._seq.get(name, -1) + 1 if kind == "update" else 0
        if seq != expected:
            # The token is of the last message that came: behind it, nothing is lost.
            raise Unreachable(f"{name} must go on with message {expected}, was {seq}")
        self._seq[name] = seq
        is_anew = kind == "snapshot" and name in self.tokens
        token = said.get("token")
        if token is not None:
            self.tokens[name] = token
        values = [said["data"]] if kind == "update" else said["data"]
        record = RECORDS[name.partition(":")[0]]
        return Message(
            kind, name, [row(record, each) for each in values], token, said.get("merged", 0),
            said.get("missed", 0), is_anew, self.stale, self.age_s,
        )  # fmt: skip
