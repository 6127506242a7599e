"""The client that waits."""

import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Self, TypeVar

import httpx
import polars as pl
from websockets.sync.client import ClientConnection, connect

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


class Client:
    """The API, waited for; close it, or use it in ``with``. Safe to share between threads.

    Every method raises `ApiProblem` when the API refuses, and `Unreachable` when nobody answers;
    streams go on after what may pass, and raise only what would not.

    Args:
        url: Of the API; None takes TAPELINE_API_URL, or http://127.0.0.1:8000.
        key: An API key or a JWT; None takes TAPELINE_API_KEY, if set.
        timeout_s: Longest wait for one answer, and for a connection.
        max_age_s: Answers that are older raise `Stale`; None takes all.
        patience_s: Longest silence of a stream before it is connected anew.
        verify: How the server's certificate is checked; None as is usual.
        transport: What carries the requests instead of sockets; streams always take sockets.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._place = Place.of(url, key, max_age_s)
        self._timeout_s, self._patience_s, self._verify = timeout_s, patience_s, verify
        self._http = httpx.Client(
            base_url=self._place.url,
            headers=self._place.headers,
            timeout=timeout_s,
            verify=verify or True,
            transport=transport,
        )

    def latest_quote(self, series: str) -> Row:
        """Return the newest quote of ``SYMBOL@VENUE``."""
        return self._run(calls.latest_quote(series))

    def latest_bar(self, series: str, timeframe: str) -> Row:
        """Return the bar that opened last, final or not."""
        return self._run(calls.latest_bar(series, timeframe))

    def bars(
        self,
        series: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Return bars with start <= open_time < end, oldest first.

        Args:
            series: ``SYMBOL@VENUE``.
            timeframe: Such as ``M1``.
            start: An aware datetime, microseconds, or ISO 8601; None: from the first one.
            end: Likewise; None: up to the newest one, which may be provisional.
            limit: The newest so many of them; None: all there are, page by page.
        """
        return self._run(calls.bars(series, timeframe, start, end, limit))

    def ticks(self, series: str, limit: int = 100) -> pl.DataFrame:
        """Return the newest ticks, trades and quotes alike, oldest first; at most 1,000."""
        return self._run(calls.ticks(series, limit))

    def symbols(self) -> list[str]:
        """Return every series, as ``SYMBOL@VENUE``."""
        return self._run(calls.symbols())

    def anomalies(self, series: str | None = None, limit: int = 100) -> pl.DataFrame:
        """Return the newest anomalies, of one series or of all, oldest first."""
        return self._run(calls.anomalies(series, limit))

    def gaps(self, series: str | None = None, *, repaired: bool = False) -> pl.DataFrame:
        """Return the newest gaps, oldest first: open ones, or all."""
        return self._run(calls.gaps(series, repaired=repaired))

    def stream(
        self,
        streams: Sequence[str],
        *,
        tokens: Mapping[str, str] | None = None,
        throttle: float | None = None,
        rate: float | None = None,
    ) -> Generator[Message, None, None]:
        """Yield what streams tell, for ever, across lost connections.

        Args:
            streams: ``quotes:``, ``ticks:`` or ``anomalies:SYMBOL@VENUE``, or
                ``bars:SYMBOL@VENUE:TIMEFRAME``.
            tokens: Where to go on, by stream: the `token` of the last message that was seen.
            throttle: Share by which a quote's mid has to move; None: as the API does it.
            rate: Messages a second at most; None: as the API does it.
        """
        followed = Followed(list(streams), throttle, rate, tokens or {})
        return self._each(follow(followed, patience_s=self._patience_s))

    def follow_bars(
        self, series: str, timeframe: str, *, history: int = 500, provisional: bool = True
    ) -> Generator[Row, None, None]:
        """Yield bars: the newest `history` ones, then each as it changes, for ever.

        A bar comes again with the same open_time when it has changed; replace by that. Nothing
        comes twice, and none is left out where history and stream meet, or a connection was lost.

        Args:
            series: ``SYMBOL@VENUE``.
            timeframe: Such as ``M1``.
            history: How many bars come first.
            provisional: Whether to give bars before they are final, too.
        """
        joined = Joined(series, timeframe, history, provisional=provisional)
        followed = Followed([f"bars:{series}:{timeframe}"], None, None, {})
        return self._each(follow(followed, joined.handle, self._patience_s))

    def close(self) -> None:
        """Let go of the connections; not those of streams, which end with their iterators."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Asking[T]) -> T:
        """Take steps that only ask, and return what they return."""
        result: Any = None
        while True:
            try:
                effect = steps.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            result = self._call(effect)

    def _call(self, call: Call) -> Any:
        try:
            response = self._http.get(call.path, params=call.params)
        except TROUBLE as error:
            raise self._place.trouble(error) from error
        return self._place.read(call, response)

    def _each(self, steps: Steps[None]) -> Generator[Any, None, None]:
        """Take steps, and yield what they emit."""
        with closing(_Wire(self._place, self._timeout_s, self._verify)) as wire, closing(steps):
            effect = next(steps)
            while True:
                if isinstance(effect, Emit):
                    yield effect.value
                    effect = next(steps)
                    continue
                try:
                    result = self._call(effect) if isinstance(effect, Call) else wire.do(effect)
                except ClientError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)


class _Wire:
    """The WebSocket of one stream."""

    def __init__(self, place: Place, timeout_s: float, verify: ssl.SSLContext | None) -> None:
        self._place, self._timeout_s, self._verify = place, timeout_s, verify
        self._held = ExitStack()
        self._socket: ClientConnection | None = None

    def do(self, effect: Effect) -> Any:
        """Do what is wanted, and return what came of it."""
        try:
            return self._do(effect)
        except TROUBLE as error:
            raise self._place.trouble(error) from error

    def _do(self, effect: Effect) -> Any:
        match effect:
            case Open():
                wanted = self._place.connection(self._timeout_s, self._verify)
                self._socket = self._held.enter_context(connect(**wanted))
            case Close():
                self.close()
            case Pause(seconds):
                time.sleep(seconds)
            case Send(frame) if self._socket:
                self._socket.send(frame)
            case Receive(within_s) if self._socket:
                return self._socket.recv(within_s)
            case _:
                raise AssertionError(f"a stream must not do {effect}")
        return None

    def close(self) -> None:
        """Let go of it."""
        self._socket = None
        self._held.close()
