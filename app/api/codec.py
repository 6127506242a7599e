"""What a WebSocket's frames say: requests of a client, messages to it, in JSON or MessagePack."""

from typing import Any

import msgspec

from app.api.outbox import THROTTLE, Message
from app.api.problems import Problem

MOST_BYTES = 65_536
"""Of a request."""
MSGPACK = "tapeline.msgpack"
"""The subprotocol of MessagePack."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a client asks; see the AsyncAPI document."""

    op: str
    id: int | str | None = None
    streams: list[str] = []
    resume: dict[str, str] = {}
    throttle: float = THROTTLE
    rate: float | None = None


class Codec:
    """Frames in JSON or MessagePack; keeps nothing of a connection.

    Args:
        binary: Whether MessagePack.
    """

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary
        self._json = msgspec.json.Encoder()
        self._msgpack = msgspec.msgpack.Encoder()
        self._requests: Any = (
            msgspec.msgpack.Decoder(Request) if binary else msgspec.json.Decoder(Request)
        )

    def request(self, frame: str | bytes) -> Request:
        """Return what a frame asks.

        Raises:
            Problem: It is no request; the detail names the field and its rule.
        """
        if len(frame) > MOST_BYTES:
            raise Problem(
                413, "Request too long",
                f"a request must have {MOST_BYTES} bytes at most, had {len(frame)}",
            )  # fmt: skip
        try:
            found: Request = self._requests.decode(frame)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
            raise Problem(400, "Bad request", str(error)) from None
        return found

    def payload(self, message: Any) -> bytes:
        """Return a message as the payload of a frame of the connection's kind."""
        if not self.binary:
            return self._json.encode(message)
        if isinstance(message, Message):
            message = msgspec.structs.replace(message, data=_plain(message.data))
        return self._msgpack.encode(message)


def _plain(data: Any) -> Any:
    if isinstance(data, msgspec.Raw):
        return msgspec.json.decode(data)
    return [_plain(each) for each in data] if isinstance(data, list) else data


AS_JSON, AS_MSGPACK = Codec(binary=False), Codec(binary=True)
