"""``tapeline demo``: real ticks in, exact bars out, on this machine, with one command."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
import typer
from rich.live import Live
from rich.table import Table

from app.cli import up
from app.cli.background import ROOT
from app.cli.bars import Series, Store, find_bars
from app.cli.pace import Pace
from app.cli.produce import tick_producer
from app.cli.recompute import differences, recompute
from app.cli.terminal import console, line, note, plain
from app.cli.top import READS
from app.cli.topics import kafka_admin
from app.domain.simulator import VENUE, Market, feed
from app.errors import ConfigError, FeedUnavailable, InvalidTick, TapelineError
from app.settings import Settings, load
from connectors.feeds import FEEDS
from connectors.hot_redis import RedisHotStore
from connectors.recordings import XRP_ETH

RECORDINGS = Path("../shared/data")
"""Where recorded trades are looked for, beside the checkout."""
SIMULATED_TICKS = 20_000
STEP = 100
"""Ticks between two looks at the clock."""
CATCH_UP_S = 120.0
SHOWN_BARS = 12
RECONNECT_S = 5.0
COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "trades", "revision", "reason")


class BarsDiffer(TapelineError):
    """The pipeline's bars are not those of the recompute."""


class Stream(NamedTuple):
    """What is played: ticks as tick.avsc, and a series to look at."""

    title: str
    symbol: str
    venue: str
    ticks: pl.DataFrame


def demo(
    once: Annotated[bool, typer.Option("--once", help="Play, check, end.")] = False,  # noqa: FBT002
    rate: Annotated[float, typer.Option(min=1, help="Ticks a second.")] = 2_500,
    simulate: Annotated[bool, typer.Option("--simulate", help="No recording.")] = False,  # noqa: FBT002
    live: Annotated[str, typer.Option(help="A public feed, until Ctrl-C: kraken.")] = "",
    symbols: Annotated[str, typer.Option(help="Of the live feed.")] = "BTC/USD,ETH/USD",
) -> None:
    """Start all that is needed, play recorded ticks, show their bars forming, check every bar.

    Every bar in Kafka, Redis and Postgres is compared with one computed apart from the ticks
    that were played. Without --once, and on a terminal, a simulated market goes on until Ctrl-C.
    The servers and workers are left running: `tapeline down` stops them.
    """
    if live and live not in FEEDS:
        raise ConfigError(f"--live must be one of {', '.join(FEEDS)}, was {live!r}")
    page = up.start(os.environ, "all")["api"]
    settings = load()
    if live:
        follow(settings, live, symbols.split(","))
        return
    stream = simulated() if simulate else recorded() or simulated()
    note(f"playing {len(stream.ticks):,} ticks: {stream.title}")
    with shown(settings, stream) as look:
        play(settings, stream.ticks, rate, look)
        catch_up(settings, look)
    faults = check(settings, stream)
    if faults:
        for fault in faults[:20]:
            note(fault)
        raise BarsDiffer(f"{len(faults):,} values differ from the recompute")
    advise(settings, stream, page)
    if not once and sys.stdout.isatty():
        go_on(settings)


def recorded() -> Stream | None:
    """Return the recorded trades of XRP/ETH if they are on this machine."""
    folder = ROOT / RECORDINGS
    if not (folder / XRP_ETH.file).exists():
        return None
    title = f"every trade of {XRP_ETH.symbol} at {XRP_ETH.venue}, 11 to 13 October 2019"
    return Stream(title, XRP_ETH.symbol, XRP_ETH.venue, XRP_ETH.read(folder))


def simulated() -> Stream:
    """Return the same simulated market every time."""
    market = Market(seed=1, symbols=5, start_us=1_700_000_000_000_000, step_us=500_000)
    ticks = pl.concat(feed(market, SIMULATED_TICKS)).drop("poison", strict=False)
    first = ticks["symbol"][0]
    return Stream("a simulated market, seed 1 (no recording found)", first, VENUE, ticks)


def play(settings: Settings, ticks: pl.DataFrame, rate: float, look: "Look") -> None:
    """Publish the ticks at `rate` a second."""
    pace = Pace(rate)
    with tick_producer(settings) as producer:
        for start in range(0, len(ticks), STEP):
            pace.wait(start)
            producer.send_frame(ticks[start : start + STEP])
            look.refresh(start)


def catch_up(settings: Settings, look: "Look") -> None:
    """Wait until every worker has read all there is.

    Raises:
        BarsDiffer: They have not within `CATCH_UP_S`.
    """
    admin = kafka_admin(settings)
    groups = {
        settings.group_of(role): [settings.topic(topic) for topic in read]
        for role, read in READS.items()
    }
    deadline = time.monotonic() + CATCH_UP_S
    quiet_for = 0
    while quiet_for < 2:  # noqa: PLR2004 - what one worker just wrote, the next has not read
        behind = [lag for lag in admin.lag(groups) if lag.end and lag.records]
        quiet_for = 0 if behind else quiet_for + 1
        if time.monotonic() > deadline:
            worst = max(behind, key=lambda lag: lag.records)
            raise BarsDiffer(
                f"{worst.group} is {worst.records:,} records behind in {worst.topic} "
                f"after {CATCH_UP_S:.0f} s; see {settings.home / 'logs'}"
            )
        look.refresh(None)
        time.sleep(0.3)


def check(settings: Settings, stream: Stream) -> list[str]:
    """Compare every bar of the played ticks, in each place, with a recompute."""
    expected = recompute(stream.ticks.iter_rows(named=True), settings.timeframes)
    series = sorted({(symbol, venue) for symbol, venue, _, _ in expected})
    faults = []
    for store in Store:
        counts, wrong = [], []
        for timeframe in settings.timeframes:
            found = [
                bar
                for symbol, venue in series
                for bar in find_bars(settings, store, Series(symbol, venue, timeframe))
            ]
            wanted = {key: bar for key, bar in expected.items() if key[2] == timeframe}
            wrong += differences(wanted, found, whole=store is not Store.HOT)
            counts.append(f"{len(found):,} {timeframe}")
        faults += [f"{store.value}: {fault}" for fault in wrong]
        verdict = "NOT equal" if wrong else "equal"
        line(f"{store.value:<6} {', '.join(counts)}: {verdict} to the recompute, to the last digit")
    return faults


def advise(settings: Settings, stream: Stream, page: str) -> None:
    """Say where to look next."""
    series = f"{stream.symbol}@{stream.venue}"
    line(f"\nLook around: ./run tapeline bars {series} --timeframe H1")
    line("             ./run tapeline top, doctor, gaps list, dlq list")
    line(f"Servers: Kafka {settings.kafka_bootstrap_servers}; logs in {settings.home / 'logs'}")
    line(f"Web page: {page}")
    line("Stop all:    ./run tapeline down")


def go_on(settings: Settings) -> None:
    """Play a simulated market in real time until Ctrl-C."""
    now_us = time.time_ns() // 1000
    market = Market(seed=now_us, symbols=5, start_us=now_us, step_us=10_000)
    stream = Stream("a simulated market, live", "BTC/USD", f"{VENUE}_LIVE", pl.DataFrame())
    note("\na simulated market goes on, 100 ticks a second; Ctrl-C ends it")
    try:
        with shown(settings, stream) as look:
            for block in feed(market, None):
                renamed = block.with_columns(venue=pl.lit(stream.venue)).drop(
                    "poison", strict=False
                )
                play(settings, renamed, 100, look)
    except KeyboardInterrupt:
        note("ended; servers and workers go on")


def follow(settings: Settings, feed_name: str, symbols: list[str]) -> None:
    """Publish a public feed's trades until Ctrl-C, connecting again when it breaks."""
    stream = Stream(feed_name, symbols[0], feed_name.upper(), pl.DataFrame())
    sent = 0
    with (
        suppress(KeyboardInterrupt),
        tick_producer(settings) as producer,
        shown(settings, stream) as look,
    ):
        while True:
            try:
                for rows in FEEDS[feed_name](symbols):
                    for row in rows:
                        try:
                            producer.send(row)
                            sent += 1
                        except InvalidTick as error:
                            note(f"{feed_name}: {error}")
                    look.refresh(sent)
            except FeedUnavailable as error:
                note(f"{error}; again in {RECONNECT_S:.0f} s")
                time.sleep(RECONNECT_S)


class Look:
    """The newest bars of one series, as Redis has them, on a terminal."""

    def __init__(self, store: RedisHotStore, stream: Stream, live: Live | None) -> None:
        self._store = store
        self._stream = stream
        self._live = live
        self._at = 0.0
        self._sent = 0

    def refresh(self, sent: int | None) -> None:
        """Draw again if it is time; `sent` ticks are out, None for all."""
        self._sent = self._sent if sent is None else sent
        if self._live is not None and time.monotonic() - self._at > 0.2:  # noqa: PLR2004
            self._live.update(self._drawn(), refresh=True)
            self._at = time.monotonic()

    def _drawn(self) -> Table:
        symbol, venue = self._stream.symbol, self._stream.venue
        grid = Table(*COLUMNS, title=f"{symbol}@{venue}  M1  after {self._sent:,} ticks", box=None)
        for bar in self._store.bars(symbol, venue, "M1", SHOWN_BARS):
            style = "" if bar["is_final"] else "yellow"
            grid.add_row(*(_cell(bar, name) for name in COLUMNS), style=style)
        return grid


def _cell(bar: dict[str, Any], name: str) -> str:
    if bar[name] is None:
        return ""
    return f"{bar[name]:%Y-%m-%d %H:%M}" if name == "open_time" else str(plain(bar[name]))


@contextmanager
def shown(settings: Settings, stream: Stream) -> Iterator[Look]:
    """Show the newest bars while the block runs, if this is a terminal."""
    with closing(RedisHotStore(settings.redis_url, prefix=settings.redis_prefix)) as store:
        if not console.is_terminal:
            yield Look(store, stream, None)
            return
        with Live(console=console, auto_refresh=False, transient=False) as live:
            yield Look(store, stream, live)
