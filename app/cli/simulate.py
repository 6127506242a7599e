"""``tapeline simulate``: a seeded market on ``ticks.raw.v1``."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, NamedTuple

import polars as pl
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import topics
from app.cli.bars import moment
from app.cli.pace import Pace
from app.cli.produce import tick_producer
from app.cli.terminal import AsJson, console, json_line, note
from app.domain.simulator import POISONS, VENUE, Market, feed, symbol_names
from app.domain.times import EPOCH
from app.errors import ConfigError
from app.setting_values import Broken, duration_s
from app.settings import Settings, load
from connectors.kafka_reader import read
from connectors.producer import TickProducer
from connectors.registry import open_registry
from schemas.block import decode
from schemas.wire import prefix

Share = Annotated[float, typer.Option(min=0, max=1, help="Share of ticks.")]
SLICE_S = 0.05
"""Ticks are sent in slices of about so much time."""
UNPACED_STEP_US = 10.0
"""Event time between two ticks when they are sent as fast as they go."""
RESUME_FROM = 20_000
"""Ticks at the end of each partition that are searched for where an earlier feed ended."""


class _Block(NamedTuple):
    keys: list[bytes]
    values: list[bytes]
    broken: list[bool]


@dataclass
class Simulated:
    """What was sent."""

    ticks: int = 0
    poison: int = 0
    seconds: float = 0.0

    @property
    def ticks_per_s(self) -> float:
        """All that was sent, a second."""
        return (self.ticks + self.poison) / max(self.seconds, 1e-9)


def simulate(  # noqa: PLR0913 - options of the command line
    symbols: Annotated[int, typer.Option(min=1, max=100_000)] = 10,
    rate: Annotated[float, typer.Option(min=0, help="Ticks a second; 0 is no limit.")] = 1000,
    seconds: Annotated[float | None, typer.Option(min=0, help="Of event time.")] = None,
    ticks: Annotated[int | None, typer.Option(min=0, help="How many; none never ends.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another market.")] = 0,
    start: Annotated[str | None, typer.Option("--from", help="Event time of the first.")] = None,
    jitter: Annotated[str, typer.Option(help="Ticks arrive so much late, at most: 50ms.")] = "0",
    duplicates: Share = 0,
    gaps: Annotated[float, typer.Option(min=0, max=1, help="Share of trades lost.")] = 0,
    poison: Annotated[float, typer.Option(min=0, max=1, help="Broken records for a tick.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Number trades from 1.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Publish a random walk of trades and quotes at venue SIM, the same for a seed and --from.

    Trade ids go on from those in the topic, so that a second run leaves no gap. Ctrl-C ends it.
    """
    settings = load(needs=("kafka",))
    step_us = 1e6 / rate if rate else UNPACED_STEP_US
    total = ticks
    if total is None and seconds is not None:
        total = round(seconds * 1e6 / step_us)
    market = Market(
        seed=seed,
        symbols=symbols,
        start_us=_start_us(start, rate, total),
        step_us=step_us,
        jitter_us=_microseconds(jitter),
        duplicates=duplicates,
        gaps=gaps,
        poison=poison,
        known={} if fresh else ends(settings, symbol_names(symbols)),
    )
    with tick_producer(settings) as producer:
        done = publish(market, total, producer, Pace(rate))
    if as_json:
        json_line(
            {
                "ticks": done.ticks,
                "poison": done.poison,
                "seconds": round(done.seconds, 3),
                "ticks_per_s": round(done.ticks_per_s),
            }
        )
    else:
        note(
            f"{done.ticks:,} ticks and {done.poison:,} broken records sent in "
            f"{done.seconds:.1f} s, {done.ticks_per_s:,.0f} a second"
        )


def _start_us(start: str | None, rate: float, ticks: int | None) -> int:
    """Return the event time of the first tick: paced ones happen now, others end now."""
    given = moment("--from", start)
    if given is not None:
        return (given - EPOCH) // timedelta(microseconds=1)
    if not rate and ticks is None:
        raise ConfigError("--rate 0 must come with --ticks, --seconds or --from")
    now_us = time.time_ns() // 1000
    return now_us if rate else now_us - round((ticks or 0) * UNPACED_STEP_US)


def _microseconds(jitter: str) -> int:
    try:
        return round(duration_s(jitter) * 1e6)
    except Broken as error:
        raise ConfigError(f"--jitter {error}, was {jitter!r}") from None


def publish(market: Market, ticks: int | None, producer: TickProducer, pace: Pace) -> Simulated:
    """Send the market's ticks at a pace, until all are sent or Ctrl-C."""
    done = Simulated()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    disable = not console.is_terminal
    with (
        Progress(*columns, console=console, transient=True, disable=disable) as progress,
        suppress(KeyboardInterrupt),
        closing(_ahead(_blocks(market, ticks, producer))) as blocks,
    ):
        task = progress.add_task("")
        for keys, values, broken in blocks:
            step = max(1, round(pace.rate * SLICE_S)) if pace.rate else max(1, len(values))
            for start in range(0, len(values), step):
                stop = min(start + step, len(values))
                pace.wait(done.ticks + done.poison)
                producer.send_encoded(keys[start:stop], values[start:stop])
                done.poison += sum(broken[start:stop])
                done.ticks += stop - start - sum(broken[start:stop])
                progress.update(task, description=f"{done.ticks:,} ticks")
    producer.flush()
    done.seconds = pace.elapsed_s
    return done


def _blocks(market: Market, ticks: int | None, producer: TickProducer) -> Iterator[_Block]:
    """Yield the market's records in blocks, with its poison put in."""
    keys = {name: name.encode() for name in symbol_names(market.symbols)}
    for frame in feed(market, ticks):
        values = producer.encode(frame.drop("poison"))
        kinds = frame["poison"].to_list()
        for row in (frame["poison"] > 0).arg_true().to_list():
            values[row] = poisoned(values[row], POISONS[kinds[row] - 1])
        yield _Block(
            [keys[symbol] for symbol in frame["symbol"].to_list()],
            values,
            [kind > 0 for kind in kinds],
        )


def _ahead(blocks: Iterator[_Block]) -> Generator[_Block]:
    """Yield `blocks`, each made in a thread while the one before it is sent."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = thread.submit(next, blocks, None)
            yield block


def poisoned(value: bytes, kind: str) -> bytes:
    """Return a record that is broken in one of the ways of `POISONS`."""
    if kind == "no record":
        return b"{" + value[5:15]
    if kind == "cut short":
        return value[: len(value) // 2]
    if kind == "too long":
        return value + b"\x00\x00"
    if kind == "unknown schema":
        return prefix(2_000_000_000) + value[5:]
    # A venue in small letters: well-formed, but no tick of the contract.
    return value.replace(VENUE.encode(), VENUE.lower().encode(), 1)


def ends(settings: Settings, names: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """Return the next trade id and the price in cents of the symbols an earlier feed wrote."""
    registry = open_registry(settings.schema_registry_url)
    wanted = set(names)
    found: dict[str, tuple[int, int]] = {}
    blocks = read(settings.kafka_client_config(), settings.topic(topics.RAW), last=RESUME_FROM)
    for block in blocks:
        trades = decode([record.value for record in block], "tick", registry).frame.filter(
            pl.col("venue") == VENUE, pl.col("trade_id").str.contains(r"^\d{1,18}$")
        )
        for symbol, trade_id, price in trades.select("symbol", "trade_id", "price").rows():
            if symbol in wanted and price is not None:
                high = max(found.get(symbol, (0, 0)), (int(trade_id) + 1, round(price * 100)))
                found[symbol] = high
    return found
