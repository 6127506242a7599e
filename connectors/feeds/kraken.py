"""Kraken's public trades, WebSocket API v2 (docs.kraken.com, channel ``trade``).

Trade ids of a pair have no holes, and times come in ISO 8601 with microseconds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from app.errors import FeedUnavailable

URL = "wss://ws.kraken.com/v2"
VENUE = "KRAKEN"
SILENT_AFTER_S = 10.0
"""Kraken sends a heartbeat every second."""


def trades(symbols: Sequence[str], url: str = URL) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the rows of each message of trades; reads until the caller stops.

    Args:
        symbols: Kraken's names in this API are the canonical ones: ``BTC/USD``.
        url: Where the API is.

    Raises:
        FeedUnavailable: No connection, a broken or silent one, or Kraken refuses a symbol.
    """
    wanted = {"channel": "trade", "symbol": list(symbols), "snapshot": False}
    try:
        with connect(url) as socket:
            socket.send(json.dumps({"method": "subscribe", "params": wanted}))
            while True:
                rows = parse(socket.recv(timeout=SILENT_AFTER_S))
                if rows:
                    yield rows
    except (OSError, TimeoutError, WebSocketException) as error:
        raise FeedUnavailable(f"{VENUE} at {url}: {error or type(error).__name__}") from error


def parse(message: str | bytes) -> list[Mapping[str, Any]]:
    """Return the rows of one message; none for heartbeats and acknowledgements.

    Raises:
        FeedUnavailable: The message says that a subscription was refused.
    """
    # Numbers stay as they were written: a float would lose digits.
    said = json.loads(message, parse_float=str, parse_int=str)
    if said.get("success") is False:
        raise FeedUnavailable(f"{VENUE} refuses {said.get('symbol', '')}: {said.get('error')}")
    if said.get("channel") != "trade":
        return []
    return [
        {
            "venue": VENUE,
            "symbol": trade["symbol"],
            "event_time": trade["timestamp"],
            "trade_id": trade["trade_id"],
            "sequence": trade["trade_id"],
            "price": trade["price"],
            "size": trade["qty"],
            "source": "kraken-ws-v2",
        }
        for trade in said["data"]
    ]
