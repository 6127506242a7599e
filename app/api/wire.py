"""Whole WebSocket frames straight to a client's transport.

uvicorn's own way to send is a coroutine for each message, through two layers and a state machine
that copies: some 25 us a message, most of what a fan-out costs. Here a message is one frame
(RFC 6455, section 5.2: final, unmasked, uncompressed) and one write. Handshake, pings, pongs,
closing and all that a client sends stay uvicorn's; its frames are whole, too, so the two kinds
never mix within one.
"""

from collections.abc import Callable
from typing import Any, cast

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION = "tapeline.wire"
_TEXT, _BINARY = 0x81, 0x82
_SHORT, _LONG = 126, 1 << 16


def frame(payload: bytes, *, binary: bool = False) -> bytes:
    """Return the frame of a message from the server."""
    opcode, size = _BINARY if binary else _TEXT, len(payload)
    if size < _SHORT:
        return bytes((opcode, size)) + payload
    if size < _LONG:
        return bytes((opcode, 126, size >> 8, size & 255)) + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload


class Wire:
    """One client's connection, for writing.

    Attributes:
        on_writable: Called when a client that read too slowly has caught up, and at the end.
    """

    def __init__(self, protocol: "DirectProtocol") -> None:
        self._protocol = protocol
        self.on_writable: Callable[[], None] = lambda: None

    @property
    def is_writable(self) -> bool:
        """Whether the client takes more now."""
        protocol = self._protocol
        return (
            protocol.writable.is_set()
            and protocol.handshake_complete
            and not protocol.close_sent
            and not protocol.transport.is_closing()
        )

    def send(self, payload: bytes, *, binary: bool = False) -> None:
        """Write one message; look at `is_writable` first."""
        self._protocol.transport.write(frame(payload, binary=binary))


class DirectProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, whose scope holds a `Wire`."""

    _wire: Wire | None = None

    def handle_connect(self, event: Request) -> None:
        """Put the wire into the scope, before the application is called."""
        super().handle_connect(event)
        if self.response.status_code == 101:  # noqa: PLR2004 - switching protocols
            self._wire = Wire(self)
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[EXTENSION] = self._wire

    def resume_writing(self) -> None:
        """Say that the client has caught up."""
        super().resume_writing()
        if self._wire is not None:
            self._wire.on_writable()

    def keepalive_timeout(self) -> None:
        """Give a client up that answers no ping, and what it was still to be sent."""
        super().keepalive_timeout()
        # close() waits until all is sent: to one that reads nothing, for ever.
        self.transport.abort()


def wire_of(socket: WebSocket) -> Wire:
    """Return the wire of an accepted WebSocket.

    Raises:
        RuntimeError: The server does not use `DirectProtocol`.
    """
    try:
        found: Wire = socket.scope["extensions"][EXTENSION]
    except (KeyError, TypeError):
        raise RuntimeError("the server must be run with ws=app.api.wire.DirectProtocol") from None
    return found
