"""The handler of Kraken's trades, against messages as its documentation gives them."""

import threading
from collections.abc import Iterator

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from app.domain.incoming import tick
from app.errors import FeedUnavailable
from connectors.feeds import kraken

TRADE = """{"channel":"trade","type":"update","data":[
{"symbol":"MATIC/USD","side":"sell","price":0.51170,"qty":40.0,"ord_type":"market",
 "trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"},
{"symbol":"MATIC/USD","side":"buy","price":0.5118,"qty":1,"ord_type":"limit",
 "trade_id":4665907,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"""
ACK = '{"method":"subscribe","result":{"channel":"trade","symbol":"MATIC/USD"},"success":true}'
REFUSAL = '{"error":"Currency pair not supported XX/YY","success":false,"symbol":"XX/YY"}'


@pytest.fixture
def venue() -> Iterator[Server]:
    def talk(socket: ServerConnection) -> None:
        wanted = socket.recv()
        socket.send(REFUSAL if "XX/YY" in wanted else ACK)
        socket.send('{"channel":"heartbeat"}')
        socket.send(TRADE)

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def test_trades_come_as_rows_that_keep_the_contract(venue: Server) -> None:
    rows = next(kraken.trades(["MATIC/USD"], url(venue)))

    records = [tick(row, now_us=0) for row in rows]
    assert [(str(r["price"]), str(r["size"]), r["trade_id"], r["sequence"]) for r in records] == [
        ("0.51170", "40.0", "4665906", 4665906), ("0.5118", "1", "4665907", 4665907),
    ]  # fmt: skip


def test_a_refused_symbol_and_a_closed_connection_are_named(venue: Server) -> None:
    with pytest.raises(FeedUnavailable, match="refuses XX/YY: Currency pair not supported"):
        next(kraken.trades(["XX/YY"], url(venue)))
    with pytest.raises(FeedUnavailable, match="KRAKEN at ws://"):
        list(kraken.trades(["MATIC/USD"], url(venue)))


def test_a_venue_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(FeedUnavailable, match=r"ws://127.0.0.1:9"):
        next(kraken.trades(["MATIC/USD"], "ws://127.0.0.1:9"))
