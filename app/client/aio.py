"""The client that is awaited: `app.client.sync.Client`, method by method."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, closing
from typing import Any, Self, TypeVar

import httpx
import polars as pl
from websockets.asyncio.client import ClientConnection, connect

from app.client import calls
from app.client.calls import Time
from app.client.effects import Asking, Call, Close, Effect, Emit, Open, Pause, Receive, Send, Steps
from app.client.errors import ClientError
from app.client.following import PATIENCE_S, follow
from app.client.frames import Row
from app.client.joined import Joined
from app.client.messages import Followed, Message
from app.client.place import TROUBLE, Place

T = TypeVar("T")


class AsyncClient:
    """The API, awaited; close it, or use it in ``async with``. Arguments as of `Client`.

    A loop over a stream that ends before the program does should be in ``contextlib.aclosing``:
    otherwise its connection lives until the iterator is collected.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 10.0,
        max_age_s: float | None = None,
        patience_s: float = PATIENCE_S,
        verify: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._place = Place.of(url, key, max_age_s)
        self._timeout_s, self._patience_s, self._verify = timeout_s, patience_s, verify
        self._http = httpx.AsyncClient(
            base_url=self._place.url,
            headers=self._place.headers,
            timeout=timeout_s,
            verify=verify or True,
            transport=transport,
        )

    async def latest_quote(self, series: str) -> Row:
        """Return the newest quote of ``SYMBOL@VENUE``."""
        return await self._run(calls.latest_quote(series))

    async def latest_bar(self, series: str, timeframe: str) -> Row:
        """Return the bar that opened last, final or not."""
        return await self._run(calls.latest_bar(series, timeframe))

    async def bars(
        self,
        series: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Return bars with start <= open_time < end, oldest first; see `Client.bars`."""
        return await self._run(calls.bars(series, timeframe, start, end, limit))

    async def ticks(self, series: str, limit: int = 100) -> pl.DataFrame:
        """Return the newest ticks, trades and quotes alike, oldest first; at most 1,000."""
        return await self._run(calls.ticks(series, limit))

    async def symbols(self) -> list[str]:
        """Return every series, as ``SYMBOL@VENUE``."""
        return await self._run(calls.symbols())

    async def anomalies(self, series: str | None = None, limit: int = 100) -> pl.DataFrame:
        """Return the newest anomalies, of one series or of all, oldest first."""
        return await self._run(calls.anomalies(series, limit))

    async def gaps(self, series: str | None = None, *, repaired: bool = False) -> pl.DataFrame:
        """Return the newest gaps, oldest first: open ones, or all."""
        return await self._run(calls.gaps(series, repaired=repaired))

    def stream(
        self,
        streams: Sequence[str],
        *,
        tokens: Mapping[str, str] | None = None,
        throttle: float | None = None,
        rate: float | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Yield what streams tell, for ever, across lost connections; see `Client.stream`."""
        followed = Followed(list(streams), throttle, rate, tokens or {})
        return self._each(follow(followed, patience_s=self._patience_s))

    def follow_bars(
        self, series: str, timeframe: str, *, history: int = 500, provisional: bool = True
    ) -> AsyncGenerator[Row, None]:
        """Yield the newest bars, then each as it changes, for ever; see `Client.follow_bars`."""
        joined = Joined(series, timeframe, history, provisional=provisional)
        followed = Followed([f"bars:{series}:{timeframe}"], None, None, {})
        return self._each(follow(followed, joined.handle, self._patience_s))

    async def aclose(self) -> None:
        """Let go of the connections; not those of streams, which end with their iterators."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, steps: Asking[T]) -> T:
        """Take steps that only ask, and return what they return."""
        result: Any = None
        while True:
            try:
                effect = steps.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            result = await self._call(effect)

    async def _call(self, call: Call) -> Any:
        try:
            response = await self._http.get(call.path, params=call.params)
        except TROUBLE as error:
            raise self._place.trouble(error) from error
        return self._place.read(call, response)

    async def _each(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        """Take steps, and yield what they emit."""
        wire = _Wire(self._place, self._timeout_s, self._verify)
        async with aclosing(wire):
            with closing(steps):
                effect = next(steps)
                while True:
                    if isinstance(effect, Emit):
                        yield effect.value
                        effect = next(steps)
                        continue
                    try:
                        if isinstance(effect, Call):
                            result = await self._call(effect)
                        else:
                            result = await wire.do(effect)
                    except ClientError as error:
                        effect = steps.throw(error)
                    else:
                        effect = steps.send(result)


class _Wire:
    """The WebSocket of one stream."""

    def __init__(self, place: Place, timeout_s: float, verify: ssl.SSLContext | None) -> None:
        self._place, self._timeout_s, self._verify = place, timeout_s, verify
        self._held = AsyncExitStack()
        self._socket: ClientConnection | None = None

    async def do(self, effect: Effect) -> Any:
        """Do what is wanted, and return what came of it."""
        try:
            return await self._do(effect)
        except TROUBLE as error:
            raise self._place.trouble(error) from error

    async def _do(self, effect: Effect) -> Any:
        match effect:
            case Open():
                wanted = self._place.connection(self._timeout_s, self._verify)
                self._socket = await self._held.enter_async_context(connect(**wanted))
            case Close():
                await self.aclose()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Send(frame) if self._socket:
                await self._socket.send(frame)
            case Receive(within_s) if self._socket:
                async with asyncio.timeout(within_s):
                    return await self._socket.recv()
            case _:
                raise AssertionError(f"a stream must not do {effect}")
        return None

    async def aclose(self) -> None:
        """Let go of it."""
        self._socket = None
        await self._held.aclose()
