"""The API from Python, sync and async.

    with Client("http://127.0.0.1:8000", key="tl_...") as client:    or TAPELINE_API_KEY
        client.latest_quote("BTC/USD@KRAKEN")["bid"]                 Decimal
        client.bars("BTC/USD@KRAKEN", "M1", limit=10_000)            polars.DataFrame
        for message in client.stream(["quotes:BTC/USD@KRAKEN"]):     for ever
            print(message.row)
        for bar in client.follow_bars("BTC/USD@KRAKEN", "M1"):       history, then live
            print(bar["open_time"], bar["close"], bar["is_final"])

    async with AsyncClient() as client:                              the same, awaited
        async for message in client.stream(["bars:BTC/USD@KRAKEN:M1"]): ...

One record is a dict with the fields of `schemas/*.avsc`: decimals are `Decimal`, times aware
`datetime` in UTC. Many are a frame: decimals `pl.Decimal(38, 12)`, times `Datetime("us", "UTC")`.
"""

from app.client.aio import AsyncClient
from app.client.errors import ApiProblem, ClientError, Stale, Unreachable
from app.client.messages import Message
from app.client.sync import Client

__all__ = [
    "ApiProblem",
    "AsyncClient",
    "Client",
    "ClientError",
    "Message",
    "Stale",
    "Unreachable",
]
